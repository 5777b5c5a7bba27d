package addons

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// ttlSeconds is CoreDNS' default for cluster names.
	ttlSeconds = 5
	// plainUDPBytes is the size of an answer to a client that does not say how much it takes; maxUDPBytes is the most
	// that is sent to one that does.
	plainUDPBytes, maxUDPBytes = 512, 1232
	// idleTCP ends connections without questions.
	idleTCP = 10 * time.Second
)

// resolver answers questions; found is false for a name that does not exist.
type resolver interface {
	resolve(name string) (records records, found bool)
}

// records are what is known of one name.
type records struct {
	addresses []netip.Addr
	services  []service
	// alias is the other name of an ExternalName Service.
	alias string
	// pointer is the name of an address.
	pointer string
}

// service is one SRV record.
type service struct {
	port   uint16
	target string
}

// serveDNS answers on UDP and TCP until the context ends.
func serveDNS(ctx context.Context, log *slog.Logger, address string, names resolver) error {
	var config net.ListenConfig
	packets, err := config.ListenPacket(ctx, "udp", address)
	if err != nil {
		return fmt.Errorf("dns: %w", err)
	}
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return errors.Join(fmt.Errorf("dns: %w", err), packets.Close())
	}
	stop := context.AfterFunc(ctx, func() { _, _ = packets.Close(), listener.Close() })
	defer stop()
	log.Info("dns serves", "address", address)
	return untilFirst(ctx, []func(context.Context) error{
		func(context.Context) error { return serveUDP(packets, names) },
		func(context.Context) error { return serveTCP(listener, names) },
	})
}

func serveUDP(packets net.PacketConn, names resolver) error {
	buffer := make([]byte, 4096)
	for {
		n, client, err := packets.ReadFrom(buffer)
		if err != nil {
			return fmt.Errorf("dns over udp: %w", err)
		}
		if reply := answer(buffer[:n], names, false); reply != nil {
			_, _ = packets.WriteTo(reply, client) // a client that is gone asks again
		}
	}
}

func serveTCP(listener net.Listener, names resolver) error {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("dns over tcp: %w", err)
		}
		go func() {
			defer func() { _ = connection.Close() }()
			_ = answerStream(connection, names) // a client that hangs up or is silent has had its answer
		}()
	}
}

func answerStream(connection net.Conn, names resolver) error {
	for {
		if err := connection.SetDeadline(time.Now().Add(idleTCP)); err != nil {
			return err
		}
		var size [2]byte
		if _, err := io.ReadFull(connection, size[:]); err != nil {
			return err
		}
		question := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(connection, question); err != nil {
			return err
		}
		reply := answer(question, names, true)
		if reply == nil {
			return errors.New("not a question")
		}
		if _, err := connection.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return err
		}
	}
}

// answer is nil for what is no question. An answer too large for the client's UDP is cut and marked so.
func answer(question []byte, names resolver, stream bool) []byte {
	var parser dnsmessage.Parser
	header, err := parser.Start(question)
	if err != nil || header.Response {
		return nil
	}
	asked, err := parser.AllQuestions()
	if err != nil || len(asked) != 1 {
		return nil
	}
	message := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: header.ID, Response: true, Authoritative: true,
			RecursionDesired: header.RecursionDesired, RecursionAvailable: true,
		},
		Questions: asked,
	}
	known, found := names.resolve(asked[0].Name.String())
	if !found {
		message.RCode = dnsmessage.RCodeNameError
	}
	message.Answers = append(resources(asked[0], known), beyondAlias(asked[0], known, names)...)
	reply, err := message.Pack()
	if err != nil {
		return nil
	}
	if stream || len(reply) <= acceptedBytes(&parser) {
		return reply
	}
	message.Truncated, message.Answers = true, nil
	if reply, err = message.Pack(); err != nil {
		return nil
	}
	return reply
}

// beyondAlias are the records of the name that an alias leads to, for a client wants an address.
func beyondAlias(question dnsmessage.Question, known records, names resolver) []dnsmessage.Resource {
	target, err := dnsmessage.NewName(known.alias)
	if known.alias == "" || err != nil {
		return nil
	}
	beyond, _ := names.resolve(known.alias)
	return resources(dnsmessage.Question{Name: target, Type: question.Type, Class: question.Class}, beyond)
}

// acceptedBytes reads what the client says it takes (EDNS).
func acceptedBytes(parser *dnsmessage.Parser) int {
	if parser.SkipAllAnswers() != nil || parser.SkipAllAuthorities() != nil {
		return plainUDPBytes
	}
	for {
		header, err := parser.AdditionalHeader()
		if err != nil {
			return plainUDPBytes
		}
		if header.Type == dnsmessage.TypeOPT {
			return min(max(int(header.Class), plainUDPBytes), maxUDPBytes)
		}
		if parser.SkipAdditional() != nil {
			return plainUDPBytes
		}
	}
}

// resources are the records of the type that was asked for.
func resources(question dnsmessage.Question, known records) []dnsmessage.Resource {
	bodies := []dnsmessage.ResourceBody{}
	switch {
	case known.alias != "":
		if name, err := dnsmessage.NewName(known.alias); err == nil {
			bodies = append(bodies, &dnsmessage.CNAMEResource{CNAME: name})
		}
	case question.Type == dnsmessage.TypeA:
		for _, address := range known.addresses {
			if address.Is4() {
				bodies = append(bodies, &dnsmessage.AResource{A: address.As4()})
			}
		}
	case question.Type == dnsmessage.TypeSRV:
		for _, s := range known.services {
			if name, err := dnsmessage.NewName(s.target); err == nil {
				bodies = append(bodies, &dnsmessage.SRVResource{Weight: 100, Port: s.port, Target: name})
			}
		}
	case question.Type == dnsmessage.TypePTR && known.pointer != "":
		if name, err := dnsmessage.NewName(known.pointer); err == nil {
			bodies = append(bodies, &dnsmessage.PTRResource{PTR: name})
		}
	}
	found := []dnsmessage.Resource{}
	for _, body := range bodies {
		found = append(found, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: ttlSeconds}, Body: body,
		})
	}
	return found
}
