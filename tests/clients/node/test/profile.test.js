import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Cluster } from 'ioredis';
import { createCluster } from 'redis';
import { KvartsServer, next, until } from '../lib/kvarts-server.js';

describe('the profile of a serverless endpoint, over TLS, fully verified', () => {
  let server;
  let ca;

  before(async () => {
    server = await KvartsServer.start('--profile', 'elasticache-serverless');
    ca = await server.caCertificate();
  });
  after(() => server?.stop());

  async function usingIoredis(options, action) {
    const cluster = new Cluster([{ host: 'localhost', port: server.port }], {
      ...options,
      dnsLookup: (address, callback) => callback(null, address),
      redisOptions: { tls: { ca } },
    });
    try {
      await next(cluster, 'ready');
      await action(cluster);
    } finally {
      cluster.disconnect();
    }
  }

  test('ioredis: keys of many slots', () => usingIoredis({}, async (cluster) => {
    const numbers = Array.from({ length: 100 }, (_, i) => i);
    await Promise.all(numbers.map((i) => cluster.set(`key:${i}`, i)));
    assert.deepEqual(await Promise.all(numbers.map((i) => cluster.get(`key:${i}`))), numbers.map(String));
    assert.deepEqual(cluster.nodes('master').map((node) => node.options.port), [server.port]);
  }));

  test('ioredis: reads from the replica alone', () => usingIoredis({ scaleReads: 'slave' }, async (cluster) => {
    await cluster.set('k', 'v');
    await until('the key is read', async () => (await cluster.get('k')) === 'v');
  }));

  test('ioredis: what is refused there is refused here', () => usingIoredis({}, async (cluster) => {
    await assert.rejects(cluster.psubscribe('news.*'), /unknown command 'psubscribe'/);
    await assert.rejects(cluster.mset('a', 1, 'b', 2), /CROSSSLOT|same slot/);
  }));

  test('node-redis: keys of many slots', async () => {
    const cluster = createCluster({
      rootNodes: [{ url: `rediss://localhost:${server.port}` }],
      defaults: { socket: { tls: true, ca } },
    });
    await cluster.connect();
    try {
      for (let i = 0; i < 50; i++) await cluster.set(`key:${i}`, String(i));
      for (let i = 0; i < 50; i++) assert.equal(await cluster.get(`key:${i}`), String(i));
    } finally {
      cluster.destroy();
    }
  });
});
