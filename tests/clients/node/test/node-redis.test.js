import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { WatchError, createClient, createCluster, defineScript } from 'redis';
import { KvartsServer, until } from '../lib/kvarts-server.js';

/** A connected client; errors reject the command that meets them, so the event needs no more than a listener. */
async function connected(client) {
  client.on('error', () => {});
  await client.connect();
  return client;
}

for (const RESP of [2, 3]) {
  describe(`node-redis, RESP${RESP}`, () => {
    let server;
    let redis;

    before(async () => {
      server = await KvartsServer.start();
      redis = await connected(createClient({ socket: { port: server.port }, RESP }));
    });
    beforeEach(() => redis.flushAll());
    after(async () => {
      redis?.destroy();
      await server?.stop();
    });

    test('strings and collections', async () => {
      assert.match(String(await redis.sendCommand(['CLIENT', 'INFO'])), new RegExp(`resp=${RESP}`));
      assert.equal(await redis.set('text', 'blåbær', { expiration: { type: 'PX', value: 60_000 } }), 'OK');
      assert.equal(await redis.get('text'), 'blåbær');
      assert.equal(await redis.get('nothing'), null);
      assert.ok((await redis.pTTL('text')) > 0);
      assert.equal(await redis.incrBy('number', 42), 42);
      assert.equal(await redis.hSet('hash', { a: '1', b: '2' }), 2);
      assert.deepEqual({ ...(await redis.hGetAll('hash')) }, { a: '1', b: '2' });
      assert.equal(await redis.rPush('list', ['1', '2', '3']), 3);
      assert.deepEqual(await redis.lRange('list', 0, -1), ['1', '2', '3']);
      assert.equal(await redis.sAdd('set', ['x', 'y', 'x']), 2);
      assert.deepEqual([...(await redis.sMembers('set'))].sort(), ['x', 'y']);
      assert.equal(await redis.zAdd('zset', [{ score: 1, value: 'low' }, { score: 2.5, value: 'high' }]), 2);
      assert.deepEqual(
        (await redis.zRangeWithScores('zset', 0, -1)).map(({ value, score }) => [value, score]),
        [['low', 1], ['high', 2.5]],
      );
    });

    test('errors are rejections', async () => {
      await redis.set('text', 'no number');
      await assert.rejects(redis.incr('text'), /value is not an integer or out of range/);
    });

    test('commands sent together are answered in order', async () => {
      const replies = await Promise.all(Array.from({ length: 1_000 }, () => redis.incr('counter')));
      assert.deepEqual(replies, Array.from({ length: 1_000 }, (_, i) => i + 1));
    });

    test('a transaction answers as one', async () => {
      assert.deepEqual(await redis.multi().set('k', 'v').get('k').exec(), ['OK', 'v']);
    });

    test('a watched key that changes stops the transaction', async () => {
      const other = await connected(redis.duplicate());
      try {
        await redis.watch('k');
        await other.set('k', 'theirs');
        await assert.rejects(redis.multi().set('k', 'mine').exec(), WatchError);
        assert.equal(await redis.get('k'), 'theirs');
      } finally {
        other.destroy();
      }
    });

    test('a script answers, known to the server or not', async () => {
      const scripted = await connected(createClient({
        socket: { port: server.port },
        RESP,
        scripts: {
          add: defineScript({
            NUMBER_OF_KEYS: 1,
            SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
            parseCommand(parser, key, amount) {
              parser.pushKey(key);
              parser.push(String(amount));
            },
            transformReply: (reply) => reply,
          }),
        },
      }));
      try {
        assert.equal(await scripted.add('number', 40), 40);
        assert.equal(await scripted.add('number', 2), 42);
        await redis.scriptFlush();
        assert.equal(await scripted.add('number', 1), 43);
      } finally {
        scripted.destroy();
      }
    });

    test('a blocking pop waits for a push', async () => {
      const waiting = await connected(redis.duplicate());
      try {
        const popped = waiting.blPop('queue', 10);
        await until('a client is blocked', async () => /blocked_clients:1\r/.test(await redis.info('clients')));
        await redis.rPush('queue', 'job');
        assert.deepEqual({ ...(await popped) }, { key: 'queue', element: 'job' });
        assert.equal(await waiting.blPop('queue', 0.05), null);
      } finally {
        waiting.destroy();
      }
    });

    test('a scan sees every key', async () => {
      const expected = new Set(Array.from({ length: 300 }, (_, i) => `scan:${i}`));
      await Promise.all([...expected].flatMap((key) => [redis.set(key, ''), redis.set(`other:${key}`, '')]));
      const found = new Set();
      for await (const page of redis.scanIterator({ MATCH: 'scan:*', COUNT: 50 })) page.forEach((key) => found.add(key));
      assert.deepEqual(found, expected);
    });

    test('messages arrive', async () => {
      const subscriber = await connected(redis.duplicate());
      try {
        const messages = [];
        await subscriber.subscribe('news', (message, channel) => messages.push([channel, message]));
        await subscriber.pSubscribe('wea*', (message, channel) => messages.push([channel, message]));
        assert.equal(await redis.publish('news', 'one'), 1);
        assert.equal(await redis.publish('weather', 'rain'), 1);
        await until('both messages are there', () => messages.length === 2);
        assert.deepEqual(messages, [['news', 'one'], ['weather', 'rain']]);
        await subscriber.unsubscribe('news');
        assert.equal(await redis.publish('news', 'two'), 0);
      } finally {
        subscriber.destroy();
      }
    });

    test('TLS with full verification', async () => {
      const ca = await server.caCertificate();
      const socket = { host: 'localhost', port: server.port, tls: true, ca };
      const secure = await connected(createClient({ socket, RESP }));
      try {
        assert.equal(await secure.set('shared', 'yes'), 'OK');
        assert.equal(await redis.get('shared'), 'yes');
      } finally {
        secure.destroy();
      }
    });

    test('a client that does not know the CA refuses', async () => {
      const socket = { host: 'localhost', port: server.port, tls: true, reconnectStrategy: false };
      const secure = createClient({ socket, RESP });
      secure.on('error', () => {});
      await assert.rejects(secure.connect(), /certificate/);
    });
  });
}

describe('node-redis, cluster', () => {
  let server;

  before(async () => {
    server = await KvartsServer.start('--cluster-enabled', 'yes');
  });
  after(() => server?.stop());

  async function using(options, action) {
    const url = `${options.defaults?.socket?.tls ? 'rediss' : 'redis'}://localhost:${server.port}`;
    const cluster = await connected(createCluster({ rootNodes: [{ url }], ...options }));
    try {
      await Promise.all(cluster.masters.map(async (node) => (await cluster.nodeClient(node)).flushAll()));
      await action(cluster);
    } finally {
      cluster.destroy();
    }
  }

  async function writeAndRead(cluster) {
    const numbers = Array.from({ length: 100 }, (_, i) => i);
    await Promise.all(numbers.map((i) => cluster.set(`key:${i}`, String(i))));
    assert.deepEqual(await Promise.all(numbers.map((i) => cluster.get(`key:${i}`))), numbers.map(String));
  }

  test('keys of many slots', () => using({}, writeAndRead));

  test('the topology', () => using({ useReplicas: true }, async (cluster) => {
    assert.deepEqual(cluster.masters.map((node) => node.port), [server.port]);
    assert.deepEqual(cluster.replicas.map((node) => node.port), [server.readOnlyPort]);
  }));

  test('reads from replicas', () => using({ useReplicas: true }, async (cluster) => {
    await cluster.set('k', 'v');
    for (let i = 0; i < 10; i++) await until('the key is read', async () => (await cluster.get('k')) === 'v');
  }));

  test('shard messages arrive', () => using({}, async (cluster) => {
    const messages = [];
    await cluster.sSubscribe('orders', (message, channel) => messages.push([channel, message]));
    await cluster.sPublish('orders', 'two');
    await until('the message is there', () => messages.length === 1);
    assert.deepEqual(messages, [['orders', 'two']]);
  }));

  test('the same over TLS with full verification', async () => {
    const ca = await server.caCertificate();
    await using({ defaults: { socket: { tls: true, ca } } }, writeAndRead);
  });
});
