// ioredis follows a failover by Sentinel; ../../sentinel.py runs this and says how.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { until } from '../lib/kvarts-server.js';

const NAME = 'ioredis';
const KEYS_BEFORE = 100;
const WRITES_AFTER = 50;
const LIMIT_MS = 50_000;
const PAUSE_MS = 5;
// Longer than a machine with much to do is late; a primary that is killed closes its connections at once.
const TIMEOUT_MS = 10_000;
const WAIT_MS = 2_000;

const { KVARTS_SENTINELS, KVARTS_REPORTS } = process.env;

describe('Sentinel', { skip: KVARTS_SENTINELS === undefined && '../sentinel.py runs it' }, () => {
  let primary;
  let replica;

  before(() => {
    const sentinels = KVARTS_SENTINELS.split(',').map((address) => {
      const [host, port] = address.split(':');
      return { host, port: Number(port) };
    });
    const options = { sentinels, name: 'mymaster', commandTimeout: TIMEOUT_MS };
    primary = new Redis(options);
    replica = new Redis({ ...options, role: 'slave' });
    // Connections end in a failover; what is asked meanwhile rejects or waits.
    for (const client of [primary, replica]) client.on('error', () => {});
  });
  after(() => {
    primary.disconnect();
    replica.disconnect();
  });

  test('ioredis follows', async () => {
    const acknowledged = Array.from({ length: KEYS_BEFORE }, (_, number) => `${NAME}:before:${number}`);
    for (const key of acknowledged) assert.equal(await write(key, 2), 2);
    assert.equal(await readsFromReplica(acknowledged.at(-1)), true);
    report('ready');

    acknowledged.push(...(await writeUntilFollowed()));
    const values = await primary.mget(acknowledged);
    assert.deepEqual(acknowledged.filter((key, number) => values[number] !== key), []);
    await until(
      'a replica has the last write',
      () => readsFromReplica(acknowledged.at(-1)).catch(() => false),
      LIMIT_MS,
    );
    report('done');
  });

  /** How many replicas have it, after waiting for so many of them. */
  async function write(key, replicas) {
    const [, count] = await Promise.all([primary.set(key, key), primary.wait(replicas, WAIT_MS)]);
    return count;
  }

  /** Keys that every replica had which there was: both of them, and one once the primary was dead. */
  async function writeUntilFollowed() {
    const acknowledged = [];
    let end;
    for (let number = 1, followed = 0; followed < WRITES_AFTER; number++) {
      const key = `${NAME}:${number}`;
      const killed = killedPort();
      if (killed) {
        end ??= performance.now() + LIMIT_MS;
        assert.ok(performance.now() < end, `${followed} writes to the new primary, ${number} tries`);
      }
      const needed = killed ? 1 : 2;
      try {
        if ((await write(key, needed)) < needed) continue;
        acknowledged.push(key);
        if (killed && !(await primary.info('server')).includes(`tcp_port:${killed}\r\n`)) followed++;
      } catch {
        // There is no primary.
      } finally {
        await delay(PAUSE_MS);
      }
    }
    return acknowledged;
  }

  async function readsFromReplica(key) {
    return (await replica.get(key)) === key && (await replica.info('replication')).includes('role:slave');
  }
});

/** The port of the primary that was killed; undefined before. */
function killedPort() {
  try {
    return Number(readFileSync(path.join(KVARTS_REPORTS, 'killed'), 'utf8'));
  } catch {
    return undefined;
  }
}

function report(word) {
  writeFileSync(path.join(KVARTS_REPORTS, `${NAME}.${word}`), '');
}
