package clients

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// The kinds of cluster that a program may be shown.
var clusters = []struct {
	name  string
	flags []string
	isTLS bool
}{
	{"cluster", []string{"--cluster-enabled", "yes"}, false},
	{"cluster over TLS", []string{"--cluster-enabled", "yes", "--tls-only", "yes"}, true},
	{"serverless profile", []string{"--profile", "elasticache-serverless"}, true},
}

// clusterClient is a client of the cluster that the server shows, and trusts its authority only.
func clusterClient(t *testing.T, server *Server, isTLS bool, options redis.ClusterOptions) *redis.ClusterClient {
	t.Helper()
	options.Addrs = []string{server.Addr()}
	if isTLS {
		options.TLSConfig = server.Trusting(t)
	}
	client := redis.NewClusterClient(&options)
	t.Cleanup(func() { client.Close() })
	return client
}

func TestCluster(t *testing.T) {
	for _, kind := range clusters {
		for _, protocol := range []int{2, 3} {
			t.Run(fmt.Sprint(kind.name, " RESP", protocol), func(t *testing.T) {
				server := Start(t, kind.flags...)
				client := clusterClient(t, server, kind.isTLS, redis.ClusterOptions{Protocol: protocol})
				ctx := bounded(t)
				runCommon(t, client)
				t.Run("one primary with all slots and its replica", func(t *testing.T) {
					slots := must[[]redis.ClusterSlot](t)(client.ClusterSlots(ctx).Result())
					equal(t, len(slots), 1)
					equal(t, []int{slots[0].Start, slots[0].End}, "[0 16383]")
					var ports []string
					for _, node := range slots[0].Nodes {
						_, port, err := net.SplitHostPort(node.Addr)
						ports = append(ports, must[string](t)(port, err))
					}
					equal(t, ports, []int{server.Port, server.ReadOnlyPort})
				})
				t.Run("keys of several slots do not go together", func(t *testing.T) {
					refused(t, client.MSet(ctx, "a", 1, "b", 2).Err(), "CROSSSLOT")
					equal(t, must[string](t)(client.MSet(ctx, "{m}a", 1, "{m}b", 2).Result()), "OK")
				})
			})
		}
	}
}

// Reads go to the read-only port, writes to the main one, in pipelines too.
func TestReadsFromReplicas(t *testing.T) {
	for _, kind := range clusters {
		t.Run(kind.name, func(t *testing.T) {
			server := Start(t, kind.flags...)
			client := clusterClient(t, server, kind.isTLS, redis.ClusterOptions{ReadOnly: true})
			seen := &seenByPort{ports: map[string]map[string]bool{}}
			client.OnNewNode(func(node *redis.Client) { node.AddHook(seen.of(node.Options().Addr)) })
			ctx := bounded(t)
			for i := 0; i < 20; i++ {
				key := fmt.Sprint("key:", i)
				equal(t, must[string](t)(client.Set(ctx, key, i, 0).Result()), "OK")
				equal(t, must[int](t)(client.Get(ctx, key).Int()), i)
			}
			commands := must[[]redis.Cmder](t)(client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
				pipe.StrLen(ctx, "key:1")
				pipe.StrLen(ctx, "key:2")
				return nil
			}))
			equal(t, commands[1].(*redis.IntCmd).Val(), 1)
			main, readOnly := fmt.Sprint(server.Port), fmt.Sprint(server.ReadOnlyPort)
			equal(t, []bool{seen.has(main, "set"), seen.has(main, "get"), seen.has(main, "strlen")}, "[true false false]")
			equal(t, []bool{seen.has(readOnly, "set"), seen.has(readOnly, "get"), seen.has(readOnly, "strlen")}, "[false true true]")
		})
	}
}

// What the endpoint in the cloud refuses is refused here.
func TestProfileRefuses(t *testing.T) {
	server := Start(t, "--profile", "elasticache-serverless")
	client := clusterClient(t, server, true, redis.ClusterOptions{})
	ctx := bounded(t)
	refused(t, client.Keys(ctx, "*").Err(), "unknown command 'keys'")
	refused(t, client.ConfigGet(ctx, "*").Err(), "unknown command 'config'")
	refused(t, client.Eval(ctx, "return 1", nil).Err(), "without any input keys")
	listener := client.PSubscribe(ctx, "news.*")
	defer listener.Close()
	_, err := listener.ReceiveTimeout(ctx, limit)
	refused(t, err, "unknown command 'psubscribe'")
}

// Without this the tests above would pass with no verification at all.
func TestAnUnknownAuthorityIsRefused(t *testing.T) {
	server := Start(t, "--profile", "elasticache-serverless")
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.Addr()}, TLSConfig: &tls.Config{}})
	defer client.Close()
	refused(t, client.Ping(bounded(t)).Err(), "certificate signed by unknown authority")
}

// seenByPort notes which commands went to which port.
type seenByPort struct {
	lock  sync.Mutex
	ports map[string]map[string]bool
}

func (seen *seenByPort) of(address string) redis.Hook {
	_, port, _ := net.SplitHostPort(address)
	return noting{seen, port}
}

func (seen *seenByPort) note(port, command string) {
	seen.lock.Lock()
	defer seen.lock.Unlock()
	if seen.ports[port] == nil {
		seen.ports[port] = map[string]bool{}
	}
	seen.ports[port][command] = true
}

func (seen *seenByPort) has(port, command string) bool {
	seen.lock.Lock()
	defer seen.lock.Unlock()
	return seen.ports[port][command]
}

type noting struct {
	seen *seenByPort
	port string
}

func (noting) DialHook(next redis.DialHook) redis.DialHook { return next }

func (hook noting) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, command redis.Cmder) error {
		hook.seen.note(hook.port, command.Name())
		return next(ctx, command)
	}
}

func (hook noting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		for _, command := range commands {
			hook.seen.note(hook.port, command.Name())
		}
		return next(ctx, commands)
	}
}
