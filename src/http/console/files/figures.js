// The server's figures, read once a second while the page is looked at, and what they were in the last minutes.

import { figures as read } from './api.js';
import { repeat } from './dom.js';

const EVERY_MS = 1000;
const KEPT = 600;

const NAMES = [
  'redis_commands_processed_total', 'redis_keyspace_hits_total', 'redis_keyspace_misses_total',
  'redis_memory_used_bytes', 'redis_memory_max_bytes', 'redis_connected_clients', 'redis_blocked_clients',
  'redis_config_maxclients', 'redis_rejected_connections_total', 'redis_evicted_keys_total',
  'redis_expired_keys_total', 'kvarts_expire_lag_seconds', 'redis_net_input_bytes_total',
  'redis_net_output_bytes_total', 'redis_commands_latencies_usec', 'redis_db_keys', 'redis_uptime_in_seconds',
  'kvarts_healthy', 'redis_loading_dump_file',
];

export const figures = {
  // Ticks, the latest last: { at, ops, hitRate, memory, … } as `point` makes them.
  points: [],
  // Called with the state in words, and whether that is well.
  onState: () => {},
  listeners: new Set(),
  start,
  stop,
};

let end = null;
let before = null;

function start() {
  stop();
  end = repeat(EVERY_MS, tick);
}

function stop() {
  end?.();
  end = null;
  before = null;
}

async function tick() {
  let now;
  try {
    now = await read(NAMES);
  } catch (error) {
    before = null;
    if (error.status !== 401) figures.onState(error.message, false);
    return;
  }
  const { metrics } = now;
  const loading = metrics.redis_loading_dump_file === 1;
  const well = metrics.kvarts_healthy !== 0;
  figures.onState(loading ? 'Loading data' : well ? 'Healthy' : 'A part does not answer: KVARTS HEALTH', well && !loading);
  // A counter that has fallen began anew.
  const goesOn = before !== null && now.at_ms > before.at_ms
    && metrics.redis_uptime_in_seconds >= before.metrics.redis_uptime_in_seconds;
  if (goesOn || before === null) {
    figures.points.push(point(now, goesOn ? before : null));
    if (figures.points.length > KEPT) figures.points.shift();
  }
  if (before === null || now.at_ms !== before.at_ms) before = now;
  for (const listener of figures.listeners) listener();
}

// What a tick shows; what needs a tick before it is null without one.
function point(now, past) {
  const { metrics } = now;
  const seconds = past ? (now.at_ms - past.at_ms) / 1000 : 0;
  const gained = (name) => (past && metrics[name] >= past.metrics[name] ? metrics[name] - past.metrics[name] : null);
  const rate = (name) => (gained(name) === null ? null : gained(name) / seconds);
  const hits = gained('redis_keyspace_hits_total');
  const reads = hits === null ? 0 : hits + gained('redis_keyspace_misses_total');
  const max = metrics.redis_memory_max_bytes;
  const latency = past ? latencies(metrics.redis_commands_latencies_usec, past.metrics.redis_commands_latencies_usec) : [];
  return {
    at: now.at_ms,
    ops: rate('redis_commands_processed_total'),
    hitRate: reads > 0 ? (100 * hits) / reads : null,
    memory: metrics.redis_memory_used_bytes,
    memoryMax: max,
    memoryShare: max > 0 ? (100 * metrics.redis_memory_used_bytes) / max : null,
    clients: metrics.redis_connected_clients,
    clientsMax: metrics.redis_config_maxclients,
    blocked: metrics.redis_blocked_clients,
    rejected: gained('redis_rejected_connections_total'),
    p50: latency[0] ?? null,
    p99: latency[1] ?? null,
    p999: latency[2] ?? null,
    lag: metrics.kvarts_expire_lag_seconds * 1e6,
    evicted: rate('redis_evicted_keys_total'),
    expired: rate('redis_expired_keys_total'),
    input: rate('redis_net_input_bytes_total'),
    output: rate('redis_net_output_bytes_total'),
    keys: (metrics.redis_db_keys ?? []).reduce?.((sum, [, keys]) => sum + keys, 0) ?? null,
    uptime: metrics.redis_uptime_in_seconds,
  };
}

// How many calls of all commands together took at most how long: from counts that each include those below.
function buckets(samples) {
  const byCommand = new Map();
  for (const [labels, value] of samples ?? []) {
    if (labels.suffix !== '_bucket' || labels.le === '+Inf') continue;
    if (!byCommand.has(labels.cmd)) byCommand.set(labels.cmd, []);
    byCommand.get(labels.cmd).push([Number(labels.le), value]);
  }
  const all = new Map();
  for (const bounds of byCommand.values()) {
    let below = 0;
    for (const [bound, value] of bounds.sort((one, other) => one[0] - other[0])) {
      all.set(bound, (all.get(bound) ?? 0) + value - below);
      below = value;
    }
  }
  return all;
}

// p50, p99 and p99.9 of the calls between two ticks, in microseconds. Within a bucket calls count as spread evenly.
function latencies(now, past) {
  const earlier = buckets(past);
  const gained = [...buckets(now)]
    .map(([bound, value]) => [bound, value - (earlier.get(bound) ?? 0)])
    .filter(([, value]) => value > 0)
    .sort((one, other) => one[0] - other[0]);
  const total = gained.reduce((sum, [, value]) => sum + value, 0);
  if (total === 0) return [];
  return [0.5, 0.99, 0.999].map((share) => {
    let left = share * total;
    for (const [bound, value] of gained) {
      if (left <= value) return (bound / 2) * (1 + left / value);
      left -= value;
    }
    return gained.at(-1)[0];
  });
}
