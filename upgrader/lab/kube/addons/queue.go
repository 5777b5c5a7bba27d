package addons

import (
	"context"
	"fmt"
	"log/slog"

	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// keyQueue calls one function for each changed object, by its key, one at a time; failures come again with back-off.
type keyQueue struct {
	name  string
	queue workqueue.TypedRateLimitingInterface[string]
	log   *slog.Logger
}

func newKeyQueue(name string, informer cache.SharedIndexInformer, log *slog.Logger) (*keyQueue, error) {
	q := &keyQueue{name: name, log: log, queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    q.add,
		UpdateFunc: func(_, changed any) { q.add(changed) },
		DeleteFunc: q.add,
	})
	return q, err
}

func (q *keyQueue) add(object any) {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object)
	if err != nil {
		q.log.Error("object without a key", "queue", q.name, "error", err)
		return
	}
	q.queue.Add(key)
}

// run ends with the context.
func (q *keyQueue) run(ctx context.Context, reconcile func(context.Context, string) error) error {
	stop := context.AfterFunc(ctx, q.queue.ShutDown)
	defer stop()
	for {
		key, closed := q.queue.Get()
		if closed {
			return fmt.Errorf("%s: %w", q.name, ctx.Err())
		}
		if err := reconcile(ctx, key); err != nil {
			q.log.Warn("will try again", "queue", q.name, "key", key, "error", err)
			q.queue.AddRateLimited(key)
		} else {
			q.queue.Forget(key)
		}
		q.queue.Done(key)
	}
}
