package clients

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestSingle(t *testing.T) {
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprint("RESP", protocol), func(t *testing.T) {
			server := Start(t)
			client := redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: protocol, ClientName: "single"})
			t.Cleanup(func() { client.Close() })
			ctx := bounded(t)
			info := must[string](t)(client.Do(ctx, "CLIENT", "INFO").Text())
			for _, part := range []string{fmt.Sprint(" resp=", protocol), " name=single ", " lib-name=go-redis"} {
				if !contains(info, part) {
					t.Fatalf("no %q in %s", part, info)
				}
			}
			runCommon(t, client)
			t.Run("keys of several slots together", func(t *testing.T) {
				equal(t, must[string](t)(client.MSet(ctx, "a", 1, "b", 2).Result()), "OK")
				equal(t, must[[]any](t)(client.MGet(ctx, "a", "b", "c").Result()), "[1 2 <nil>]")
			})
			t.Run("fields that end", func(t *testing.T) {
				client.HSet(ctx, "fields", "a", 1, "b", 2)
				equal(t, must[[]int64](t)(client.HExpire(ctx, "fields", time.Minute, "a", "c").Result()), "[1 -2]")
			})
			t.Run("patterns of channels", func(t *testing.T) {
				listener := client.PSubscribe(ctx, "news.*")
				defer listener.Close()
				listens(t, ctx, listener, 1)
				client.Publish(ctx, "news.sport", "1:0")
				hears(t, ctx, listener, "news.sport: 1:0")
			})
		})
	}
}

func TestSingleOverTLS(t *testing.T) {
	server := Start(t)
	ctx := bounded(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), TLSConfig: server.Trusting(t)})
	defer client.Close()
	equal(t, must[string](t)(client.Ping(ctx).Result()), "PONG")
	// And back to plain on the same port.
	plain := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer plain.Close()
	equal(t, must[string](t)(plain.Ping(ctx).Result()), "PONG")
}
