import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } from 'bullmq';
import { Cluster, Redis } from 'ioredis';
import { KvartsServer, next, until } from '../lib/kvarts-server.js';

/** The server's configuration is the default one: a queue must need none of its own. */
describe('BullMQ', () => {
  let server;
  let connection;
  let redis;
  let open;
  let warnings;
  const warn = console.warn;

  before(async () => {
    server = await KvartsServer.start();
    connection = { host: '127.0.0.1', port: server.port };
    redis = new Redis(connection);
    console.warn = (...words) => warnings.push(words.join(' '));
  });
  beforeEach(async () => {
    open = [];
    warnings = [];
    await redis.flushall();
  });
  after(async () => {
    console.warn = warn;
    redis?.disconnect();
    await server?.stop();
  });

  function opened(one) {
    open.push(one);
    return one.waitUntilReady().then(() => one);
  }

  /** Closes what the test opened, the newest first, whether it went well or not. */
  function closing(action) {
    return async () => {
      try {
        await action();
      } finally {
        for (const one of open.reverse()) await one.close();
      }
      assert.deepEqual(warnings, []);
    };
  }

  test('of 1,000 jobs and two workers each job is done exactly once', closing(async () => {
    const queue = await opened(new Queue('many', { connection }));
    const events = await opened(new QueueEvents('many', { connection }));
    const told = new Map();
    events.on('completed', ({ jobId, returnvalue }) => told.set(jobId, [...(told.get(jobId) ?? []), returnvalue]));
    const done = new Map();
    const work = async (job) => {
      done.set(job.data.number, (done.get(job.data.number) ?? 0) + 1);
      return job.data.number * 2;
    };
    await opened(new Worker('many', work, { connection, concurrency: 20 }));
    await opened(new Worker('many', work, { connection, concurrency: 20 }));

    const numbers = Array.from({ length: 1_000 }, (_, i) => i);
    const jobs = await queue.addBulk(numbers.map((number) => ({ name: 'double', data: { number } })));
    await until('every job is completed', async () => (await queue.getCompletedCount()) === 1_000, 60_000);
    await until('every completion is told', () => told.size === 1_000);

    assert.deepEqual(numbers.filter((number) => done.get(number) !== 1), []);
    assert.deepEqual(jobs.filter((job) => told.get(job.id).join() !== String(job.data.number * 2)), []);
    const counts = await queue.getJobCounts('wait', 'active', 'delayed', 'failed', 'completed');
    assert.deepEqual(counts, { wait: 0, active: 0, delayed: 0, failed: 0, completed: 1_000 });
  }));

  test('a job that fails is tried again, and one beyond hope is not', closing(async () => {
    const queue = await opened(new Queue('failing', { connection }));
    const worker = new Worker('failing', async (job) => {
      if (job.name === 'hopeless') throw new UnrecoverableError('no use');
      if (job.attemptsMade < 2) throw new Error(`attempt ${job.attemptsMade}`);
      return 'at last';
    }, { connection });
    await opened(worker);
    const completed = next(worker, 'completed');
    const stubborn = await queue.add('stubborn', {}, { attempts: 3, backoff: { type: 'fixed', delay: 20 } });
    assert.equal((await completed)[0].id, stubborn.id);
    const failed = next(worker, 'failed');
    const hopeless = await queue.add('hopeless', {}, { attempts: 3 });
    assert.equal((await failed)[0].id, hopeless.id);
    assert.equal((await queue.getJob(stubborn.id)).attemptsMade, 3);
    assert.equal((await queue.getJob(stubborn.id)).returnvalue, 'at last');
    assert.equal(await (await queue.getJob(hopeless.id)).getState(), 'failed');
    assert.equal((await queue.getJob(hopeless.id)).failedReason, 'no use');
  }));

  test('jobs come by priority, and a delayed one when its time has come', closing(async () => {
    const queue = await opened(new Queue('ordered', { connection }));
    const delayed = await queue.add('delayed', {}, { delay: 100 });
    await queue.add('low', {}, { priority: 9 });
    await queue.add('high', {}, { priority: 1 });
    await queue.add('plain', {});
    assert.equal(await delayed.getState(), 'delayed');
    const seen = [];
    await opened(new Worker('ordered', async (job) => seen.push(job.name), { connection }));
    await until('the four are done', () => seen.length === 4);
    assert.deepEqual(seen.filter((name) => name !== 'delayed'), ['plain', 'high', 'low']);
    assert.ok(seen.includes('delayed'));
  }));

  test('a worker that waits is woken by a job', closing(async () => {
    const queue = await opened(new Queue('waking', { connection }));
    const worker = await opened(new Worker('waking', async (job) => job.data.word, { connection }));
    await until('the worker is blocked', async () => /blocked_clients:1\r/.test(await redis.info('clients')));
    const completed = next(worker, 'completed');
    await queue.add('say', { word: 'hello' });
    assert.equal((await completed)[1], 'hello');
  }));

  test('a paused queue holds its jobs until it goes on', closing(async () => {
    const queue = await opened(new Queue('paused', { connection }));
    const worker = await opened(new Worker('paused', async () => 'done', { connection }));
    await queue.pause();
    const job = await queue.add('later', {});
    assert.equal(await job.getState(), 'waiting');
    const completed = next(worker, 'completed');
    await queue.resume();
    assert.equal((await completed)[0].id, job.id);
  }));
});

/** A queue's keys share a slot by its prefix, as BullMQ's guide asks for. */
describe('BullMQ, cluster', () => {
  let server;

  before(async () => {
    server = await KvartsServer.start('--cluster-enabled', 'yes');
  });
  after(() => server?.stop());

  test('jobs, a flow of them and one that comes again and again', async () => {
    const clusters = [];
    const connection = () => {
      const cluster = new Cluster([{ host: '127.0.0.1', port: server.port }], { redisOptions: { maxRetriesPerRequest: null } });
      clusters.push(cluster);
      return cluster;
    };
    const prefix = '{bull}';
    const done = [];
    const queue = new Queue('jobs', { connection: connection(), prefix });
    const flow = new FlowProducer({ connection: connection(), prefix });
    const worker = new Worker('jobs', async (job) => done.push(job.name), { connection: connection(), prefix, concurrency: 20 });
    try {
      await queue.addBulk(Array.from({ length: 200 }, () => ({ name: 'plain', data: {} })));
      await until('200 jobs are done', async () => (await queue.getCompletedCount()) === 200, 30_000);
      assert.deepEqual(done, Array(200).fill('plain'));

      done.length = 0;
      const children = ['one', 'two'].map((name) => ({ name, queueName: 'jobs' }));
      await flow.add({ name: 'parent', queueName: 'jobs', children });
      await until('the flow is done', () => done.length === 3);
      assert.deepEqual(done.slice(0, 2).sort(), ['one', 'two']);
      assert.equal(done[2], 'parent');

      done.length = 0;
      await queue.upsertJobScheduler('often', { every: 100 }, { name: 'tick' });
      await until('it has come three times', () => done.length >= 3);
      assert.equal(await queue.removeJobScheduler('often'), true);
    } finally {
      await worker.close();
      await flow.close();
      await queue.close();
      clusters.forEach((cluster) => cluster.disconnect());
    }
  });
});
