import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Cluster, Redis } from 'ioredis';
import { KvartsServer, next, until } from '../lib/kvarts-server.js';

for (const protocol of [2, 3]) {
  describe(`ioredis, RESP${protocol}`, () => {
    let server;
    let redis;

    before(async () => {
      server = await KvartsServer.start();
      redis = new Redis({ port: server.port, protocol });
    });
    beforeEach(() => redis.flushall());
    after(async () => {
      redis?.disconnect();
      await server?.stop();
    });

    test('strings and collections', async () => {
      assert.match(await redis.client('INFO'), new RegExp(`resp=${protocol}`));
      assert.equal(await redis.set('text', 'blåbær', 'PX', 60_000), 'OK');
      assert.equal(await redis.get('text'), 'blåbær');
      assert.equal(await redis.get('nothing'), null);
      assert.ok((await redis.pttl('text')) > 0);
      assert.equal(await redis.incrby('number', 42), 42);
      assert.equal(await redis.hset('hash', { a: '1', b: '2' }), 2);
      assert.deepEqual(await redis.hgetall('hash'), { a: '1', b: '2' });
      assert.equal(await redis.rpush('list', '1', '2', '3'), 3);
      assert.deepEqual(await redis.lrange('list', 0, -1), ['1', '2', '3']);
      assert.equal(await redis.sadd('set', 'x', 'y', 'x'), 2);
      assert.deepEqual((await redis.smembers('set')).sort(), ['x', 'y']);
      assert.equal(await redis.zadd('zset', 1, 'low', 2.5, 'high'), 2);
      assert.deepEqual(await redis.zrange('zset', 0, -1), ['low', 'high']);
      assert.equal(Number(await redis.zscore('zset', 'high')), 2.5);
    });

    test('any bytes', async () => {
      const value = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 256));
      await redis.set('bytes', value);
      assert.ok((await redis.getBuffer('bytes')).equals(value));
    });

    test('errors are rejections', async () => {
      await redis.set('text', 'no number');
      await assert.rejects(redis.incr('text'), /value is not an integer or out of range/);
    });

    test('a pipeline answers in order', async () => {
      const pipeline = redis.pipeline();
      for (let i = 0; i < 1_000; i++) pipeline.incr('counter');
      const replies = await pipeline.exec();
      assert.deepEqual(replies, Array.from({ length: 1_000 }, (_, i) => [null, i + 1]));
    });

    test('a transaction answers as one', async () => {
      assert.deepEqual(await redis.multi().set('k', 'v').get('k').exec(), [[null, 'OK'], [null, 'v']]);
    });

    test("a transaction's failing command fails alone", async () => {
      const [set, incremented, got] = await redis.multi().set('k', 'v').incr('k').get('k').exec();
      assert.deepEqual([set, got], [[null, 'OK'], [null, 'v']]);
      assert.match(incremented[0].message, /value is not an integer or out of range/);
    });

    test('a transaction with a command that is refused does nothing', async () => {
      await redis.multi({ pipeline: false });
      await redis.set('k', 'v');
      await assert.rejects(redis.call('NO-SUCH-COMMAND'), /unknown command/);
      await assert.rejects(redis.exec(), /EXECABORT/);
      assert.equal(await redis.exists('k'), 0);
    });

    test('a discarded transaction does nothing', async () => {
      await redis.multi({ pipeline: false });
      assert.equal(await redis.set('k', 'v'), 'QUEUED');
      assert.equal(await redis.discard(), 'OK');
      assert.equal(await redis.exists('k'), 0);
    });

    test('a watched key that changes stops the transaction', async () => {
      const other = redis.duplicate();
      try {
        await redis.watch('k');
        await other.set('k', 'theirs');
        assert.equal(await redis.multi().set('k', 'mine').exec(), null);
        assert.equal(await redis.get('k'), 'theirs');
        await redis.watch('k');
        await other.set('k', 'theirs again');
        await redis.unwatch();
        assert.deepEqual(await redis.multi().set('k', 'mine').exec(), [[null, 'OK']]);
      } finally {
        other.disconnect();
      }
    });

    test('a script is a command', async () => {
      const scripted = redis.duplicate({
        scripts: {
          takeUpTo: {
            numberOfKeys: 1,
            lua: `
              local left = tonumber(redis.call('GET', KEYS[1]) or '0')
              local taken = math.min(left, tonumber(ARGV[1]))
              redis.call('SET', KEYS[1], left - taken)
              return {taken, tostring(left - taken), cjson.encode({key = KEYS[1]})}`,
          },
        },
      });
      try {
        await redis.set('stock', 5);
        assert.deepEqual(await scripted.takeUpTo('stock', 3), [3, '2', '{"key":"stock"}']);
        // The server forgets the script: the command sends it again.
        assert.equal(await redis.script('FLUSH'), 'OK');
        assert.deepEqual(await scripted.takeUpTo('stock', 3), [2, '0', '{"key":"stock"}']);
        const both = await scripted.pipeline().set('stock', 1).takeUpTo('stock', 1).exec();
        assert.deepEqual(both, [[null, 'OK'], [null, [1, '0', '{"key":"stock"}']]]);
        const inside = await scripted.multi().set('stock', 7).takeUpTo('stock', 1).exec();
        assert.deepEqual(inside, [[null, 'OK'], [null, [1, '6', '{"key":"stock"}']]]);
      } finally {
        scripted.disconnect();
      }
    });

    test('a script takes and gives any bytes', async () => {
      redis.defineCommand('joined', { numberOfKeys: 2, lua: "return redis.call('GET', KEYS[1]) .. redis.call('GET', KEYS[2])" });
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
      await redis.mset('one', bytes, 'two', bytes);
      assert.ok((await redis.joinedBuffer('one', 'two')).equals(Buffer.concat([bytes, bytes])));
    });

    test("a script's error is a rejection", async () => {
      redis.defineCommand('fails', { numberOfKeys: 0, lua: "return redis.error_reply('MINE it is')" });
      redis.defineCommand('wrong', { numberOfKeys: 1, lua: "return redis.call('INCR', KEYS[1])" });
      await redis.set('text', 'no number');
      await assert.rejects(redis.fails(), /^ReplyError: MINE it is/);
      await assert.rejects(redis.wrong('text'), /value is not an integer or out of range/);
    });

    test('a scan sees every key', async () => {
      const expected = new Set();
      const pipeline = redis.pipeline();
      for (let i = 0; i < 300; i++) {
        expected.add(`scan:${i}`);
        pipeline.set(`scan:${i}`, '').set(`other:${i}`, '');
      }
      await pipeline.exec();
      const found = new Set();
      for await (const page of redis.scanStream({ match: 'scan:*', count: 50 })) page.forEach((key) => found.add(key));
      assert.deepEqual(found, expected);
    });

    test('messages arrive', async () => {
      const subscriber = redis.duplicate();
      try {
        await subscriber.subscribe('news');
        let arrived = next(subscriber, 'message');
        assert.equal(await redis.publish('news', 'one'), 1);
        assert.deepEqual(await arrived, ['news', 'one']);
        await subscriber.psubscribe('wea*');
        arrived = next(subscriber, 'pmessage');
        assert.equal(await redis.publish('weather', 'rain'), 1);
        assert.deepEqual(await arrived, ['wea*', 'weather', 'rain']);
      } finally {
        subscriber.disconnect();
      }
    });

    test('a blocking pop waits for a push', async () => {
      const waiting = redis.duplicate();
      try {
        const popped = waiting.blpop('queue', 10);
        await until('a client is blocked', async () => /blocked_clients:1\r/.test(await redis.info('clients')));
        await redis.rpush('queue', 'job');
        assert.deepEqual(await popped, ['queue', 'job']);
      } finally {
        waiting.disconnect();
      }
    });

    test('a blocking pop ends when its time is up', async () => {
      const waiting = redis.duplicate();
      try {
        assert.equal(await waiting.blpop('queue', 0.05), null);
        assert.equal(await waiting.blmove('queue', 'done', 'LEFT', 'RIGHT', 0.05), null);
        assert.equal(await waiting.bzpopmin('scored', 0.05), null);
      } finally {
        waiting.disconnect();
      }
    });

    test('TLS with full verification', async () => {
      const ca = await server.caCertificate();
      const secure = new Redis({ host: 'localhost', port: server.port, protocol, tls: { ca } });
      try {
        const big = 'x'.repeat(1_000_000);
        assert.equal(await secure.set('big', big), 'OK');
        assert.equal(await secure.get('big'), big);
        assert.equal(await redis.strlen('big'), big.length);
      } finally {
        secure.disconnect();
      }
    });

    test('a client that does not know the CA refuses', async () => {
      const secure = new Redis({ host: 'localhost', port: server.port, protocol, tls: {}, lazyConnect: true, retryStrategy: null });
      const failed = next(secure, 'error');
      await assert.rejects(secure.connect());
      const [error] = await failed;
      assert.match(error.code, /UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT_LOCALLY/);
      secure.disconnect();
    });
  });
}

describe('ioredis, cluster', () => {
  let server;

  before(async () => {
    server = await KvartsServer.start('--cluster-enabled', 'yes');
  });
  after(() => server?.stop());

  async function using(options, action) {
    const cluster = new Cluster([{ host: 'localhost', port: server.port }], options);
    try {
      await next(cluster, 'ready');
      await Promise.all(cluster.nodes('master').map((node) => node.flushall()));
      await action(cluster);
    } finally {
      cluster.disconnect();
    }
  }

  async function writeAndRead(cluster) {
    const numbers = Array.from({ length: 100 }, (_, i) => i);
    await Promise.all(numbers.map((i) => cluster.set(`key:${i}`, i)));
    assert.deepEqual(await Promise.all(numbers.map((i) => cluster.get(`key:${i}`))), numbers.map(String));
  }

  test('keys of many slots', () => using({}, writeAndRead));

  test('the topology', () => using({}, async (cluster) => {
    assert.deepEqual(cluster.nodes('master').map((node) => node.options.port), [server.port]);
    assert.deepEqual(cluster.nodes('slave').map((node) => node.options.port), [server.readOnlyPort]);
  }));

  test('reads from the replica alone', () => using({ scaleReads: 'slave' }, async (cluster) => {
    await cluster.set('k', 'v');
    await until('the key is read', async () => (await cluster.get('k')) === 'v');
  }));

  test('shard messages arrive', () => using({ shardedSubscribers: true }, async (cluster) => {
    const arrived = next(cluster, 'smessage');
    await cluster.ssubscribe('orders');
    await cluster.spublish('orders', 'two');
    assert.deepEqual((await arrived).slice(0, 2), ['orders', 'two']);
  }));

  test('the same over TLS with full verification', async () => {
    const ca = await server.caCertificate();
    await using({ redisOptions: { tls: { ca } } }, writeAndRead);
  });
});
