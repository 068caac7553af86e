package clients

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// What a single server, a cluster and a serverless endpoint all have to do. Keys that are used together share a tag.
var common = []struct {
	name string
	test func(*testing.T, context.Context, redis.UniversalClient)
}{
	{"keys of many slots", keysOfManySlots},
	{"collections", collections},
	{"a pipeline answers in order", pipelineInOrder},
	{"an error of a pipeline is its command's alone", pipelineWithAnError},
	{"a transaction answers as one", transaction},
	{"a watched key that changes ends the transaction", watched},
	{"a script is sent when the server does not know it", script},
	{"messages reach those who listen", messages},
	{"messages of a shard reach those who listen", shardMessages},
	{"workers of a group share a stream", streams},
	{"a client waits for an element", waiting},
}

func runCommon(t *testing.T, client redis.UniversalClient) {
	for _, one := range common {
		t.Run(one.name, func(t *testing.T) { one.test(t, bounded(t), client) })
	}
}

func keysOfManySlots(t *testing.T, ctx context.Context, client redis.UniversalClient) {
	for i := 0; i < 100; i++ {
		equal(t, must[string](t)(client.Set(ctx, fmt.Sprintf("key:%d", i), i, time.Minute).Result()), "OK")
	}
	for i := 0; i < 100; i++ {
		equal(t, must[int](t)(client.Get(ctx, fmt.Sprintf("key:%d", i)).Int()), i)
	}
	if left := must[time.Duration](t)(client.PTTL(ctx, "key:1").Result()); left <= 0 || left > time.Minute {
		t.Fatalf("a key ends in %s", left)
	}
	_, err := client.Get(ctx, "nothing").Result()
	if !errors.Is(err, redis.Nil) {
		t.Fatalf("got %v for a key that is not there", err)
	}
}

func collections(t *testing.T, ctx context.Context, client redis.UniversalClient) {
	equal(t, must[int64](t)(client.HSet(ctx, "hash", "a", "1", "b", "2").Result()), 2)
	equal(t, must[map[string]string](t)(client.HGetAll(ctx, "hash").Result()), map[string]string{"a": "1", "b": "2"})
	equal(t, must[int64](t)(client.RPush(ctx, "list", 1, 2, 3).Result()), 3)
	equal(t, must[[]string](t)(client.LRange(ctx, "list", 0, -1).Result()), "[1 2 3]")
	equal(t, must[int64](t)(client.SAdd(ctx, "set", "x", "y", "x").Result()), 2)
	equal(t, must[bool](t)(client.SIsMember(ctx, "set", "y").Result()), true)
	low, high := redis.Z{Score: 1, Member: "low"}, redis.Z{Score: 2.5, Member: "high"}
	equal(t, must[int64](t)(client.ZAdd(ctx, "zset", low, high).Result()), 2)
	equal(t, must[[]redis.Z](t)(client.ZRangeWithScores(ctx, "zset", 0, -1).Result()), []redis.Z{low, high})
	refused(t, client.Incr(ctx, "hash").Err(), "WRONGTYPE")
	iterator, found := client.HScan(ctx, "hash", 0, "*", 10).Iterator(), 0
	for iterator.Next(ctx) {
		found++
	}
	equal(t, found, 4)
}

func pipelineInOrder(t *testing.T, ctx context.Context, client redis.UniversalClient) {
	commands, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := 0; i < 500; i++ {
			pipe.Incr(ctx, fmt.Sprintf("counter:%d", i%7))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, command := range commands {
		equal(t, command.(*redis.IntCmd).Val(), i/7+1)
	}
}

func pipelineWithAnError(t *testing.T, ctx context.Context, client redis.UniversalClient) {
	commands, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, "{p}text", "no number", 0)
		pipe.Incr(ctx, "{p}text")
		pipe.Get(ctx, "{p}text")
		return nil
	})
	refused(t, err, "not an integer")
	equal(t, commands[2].(*redis.StringCmd).Val(), "no number")
}

func transaction(t *testing.T, ctx context.Context, client redis.UniversalClient) {
	commands, err := client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, "{t}a", 1, 0)
		pipe.IncrBy(ctx, "{t}a", 41)
		pipe.Get(ctx, "{t}a")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, commands[1].(*redis.IntCmd).Val(), 42)
	equal(t, commands[2].(*redis.StringCmd).Val(), "42")
}

func watched(t *testing.T, ctx context.Context, client redis.UniversalClient) {
	times := 0
	set := func(tx *redis.Tx) error {
		if times++; times == 1 {
			client.Set(ctx, "{w}k", "theirs", 0)
		}
		_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Set(ctx, "{w}k", "mine", 0)
			return nil
		})
		return err
	}
	if err := client.Watch(ctx, set, "{w}k"); !errors.Is(err, redis.TxFailedErr) {
		t.Fatalf("got %v where the key had changed", err)
	}
	equal(t, client.Get(ctx, "{w}k").Val(), "theirs")
	if err := client.Watch(ctx, set, "{w}k"); err != nil {
		t.Fatal(err)
	}
	equal(t, client.Get(ctx, "{w}k").Val(), "mine")
}

func script(t *testing.T, ctx context.Context, client redis.UniversalClient) {
	take := redis.NewScript(`
		local left = tonumber(redis.call('GET', KEYS[1]) or '0')
		local taken = math.min(left, tonumber(ARGV[1]))
		redis.call('SET', KEYS[1], left - taken)
		return {taken, tostring(left - taken), cjson.encode({key = KEYS[1]})}`)
	client.Set(ctx, "stock", 5, 0)
	known := must[[]bool](t)(client.ScriptExists(ctx, take.Hash()).Result())
	equal(t, known, "[false]")
	for _, want := range []string{`[3 2 {"key":"stock"}]`, `[2 0 {"key":"stock"}]`} {
		equal(t, must[any](t)(take.Run(ctx, client, []string{"stock"}, 3).Result()), want)
	}
	equal(t, must[[]bool](t)(client.ScriptExists(ctx, take.Hash()).Result()), "[true]")
}

func messages(t *testing.T, ctx context.Context, client redis.UniversalClient) {
	listener := client.Subscribe(ctx, "news", "weather")
	defer listener.Close()
	listens(t, ctx, listener, 2)
	if err := client.Publish(ctx, "news", "hello").Err(); err != nil {
		t.Fatal(err)
	}
	hears(t, ctx, listener, "news: hello")
}

func shardMessages(t *testing.T, ctx context.Context, client redis.UniversalClient) {
	listener := client.SSubscribe(ctx, "{orders}new")
	defer listener.Close()
	listens(t, ctx, listener, 1)
	equal(t, must[int64](t)(client.SPublish(ctx, "{orders}new", "1-1").Result()), 1)
	hears(t, ctx, listener, "{orders}new: 1-1")
}

func listens(t *testing.T, ctx context.Context, listener *redis.PubSub, channels int) {
	t.Helper()
	for i := 0; i < channels; i++ {
		if _, ok := must[any](t)(listener.ReceiveTimeout(ctx, limit)).(*redis.Subscription); !ok {
			t.Fatal("no subscription is confirmed")
		}
	}
}

func hears(t *testing.T, ctx context.Context, listener *redis.PubSub, want string) {
	t.Helper()
	message, ok := must[any](t)(listener.ReceiveTimeout(ctx, limit)).(*redis.Message)
	if !ok {
		t.Fatal("no message came")
	}
	equal(t, message.Channel+": "+message.Payload, want)
}

func streams(t *testing.T, ctx context.Context, client redis.UniversalClient) {
	const stream, group = "{orders}s", "workers"
	equal(t, must[string](t)(client.XGroupCreateMkStream(ctx, stream, group, "$").Result()), "OK")
	for i := 0; i < 4; i++ {
		must[string](t)(client.XAdd(ctx, &redis.XAddArgs{Stream: stream, Values: map[string]any{"item": i}}).Result())
	}
	var seen []any
	for i := 0; i < 4; i++ {
		entries := must[[]redis.XStream](t)(client.XReadGroup(ctx, &redis.XReadGroupArgs{
			Group: group, Consumer: fmt.Sprint("worker-", i%2), Streams: []string{stream, ">"}, Count: 1, Block: limit,
		}).Result())
		seen = append(seen, entries[0].Messages[0].Values["item"])
		if i != 3 {
			equal(t, must[int64](t)(client.XAck(ctx, stream, group, entries[0].Messages[0].ID).Result()), 1)
		}
	}
	equal(t, seen, "[0 1 2 3]")
	pending := must[*redis.XPending](t)(client.XPending(ctx, stream, group).Result())
	equal(t, pending.Consumers, map[string]int64{"worker-1": 1})
	claimed, _, err := client.XAutoClaim(ctx, &redis.XAutoClaimArgs{
		Stream: stream, Group: group, Consumer: "worker-0", Start: "0",
	}).Result()
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %v, %v", claimed, err)
	}
}

func waiting(t *testing.T, ctx context.Context, client redis.UniversalClient) {
	type answer struct {
		element []string
		err     error
	}
	got := make(chan answer, 1)
	go func() {
		element, err := client.BLPop(ctx, limit, "queue").Result()
		got <- answer{element, err}
	}()
	client.RPush(ctx, "queue", "job")
	one := <-got
	equal(t, must[[]string](t)(one.element, one.err), "[queue job]")
}
