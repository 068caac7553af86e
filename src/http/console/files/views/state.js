// Replication, what is on disk, whether all parts of the server answer, and what a profile and rehearsed faults did.

import { call, info, may, mayChange, session } from '../api.js';
import { attempt, button, confirmed, facts, failure, h, heading, panel, put, repeat, table } from '../dom.js';
import { bytes, count, cut, micros, shown, span, time } from '../format.js';
import { holdersPanel } from '../holders.js';
import { troublePanel } from '../trouble.js';

export const title = 'State';

const EVERY_MS = 3000;

// Findings that are shown at first; there may be a thousand.
const FEW = 50;

export function show(place) {
  const content = h('div', { class: 'columns' });
  const found = h('div', {});
  const held = h('div', {});
  const troubles = troublePanel(undefined, (all) => {
    // What has the focus would lose it.
    if (!held.contains(document.activeElement)) put(held, holdersPanel(all));
  });
  const actions = [
    mayChange('bgsave') && button('Save a snapshot', () => act('Save a snapshot?', 'BGSAVE writes all data to a file, beside the service.', 'Save', ['BGSAVE'])),
    mayChange('bgrewriteaof') && button('Rewrite the append-only file', () => act('Rewrite the append-only file?', 'BGREWRITEAOF writes it anew, as short as it can be.', 'Rewrite', ['BGREWRITEAOF'])),
  ];
  put(place, heading('State', ...actions), troubles.element, held, content, found);
  const compat = compatPanel(found);
  let before = null;
  const end = repeat(EVERY_MS, async () => {
    const [fields, health] = await Promise.all(
      [info('server', 'replication', 'persistence', 'memory'), call('KVARTS', 'HEALTH')].map((asked) => asked.catch((error) => error)));
    const faults = fields instanceof Error ? null : await faultsPanel(fields).catch(() => null);
    const parts = [faults, healthPanel(health), ...(fields instanceof Error ? [panel('Replication, persistence, server', failure(fields))]
      : [replication(fields), persistence(fields), server(fields)])];
    // What is the same is left as it is: a refusal is not said again and again.
    const now = parts.map((part) => part?.textContent).join();
    if (now !== before && !content.contains(document.activeElement)) {
      put(content, parts);
      before = now;
    }
    await compat().catch(() => {});
  });
  return () => {
    end();
    troubles.end();
  };
}

// What KVARTS SIMULATE rehearses, so that nobody takes it for a fault; nothing where it rehearses nothing. Only whom
// enable-debug-command lets is told more than INFO says.
async function faultsPanel({ simulated_faults: faults }) {
  if (!faults) return null;
  const told = await call('KVARTS', 'SIMULATE').catch(() => null);
  return panel('Rehearsed faults', h('p', { class: 'failure' }, 'Clients meet faults on purpose (KVARTS SIMULATE).'),
    facts([['Faults', faults], ...(told === null ? [] : [['Happened', count(told.get('happened'))], ['Seed', told.get('seed')]])]));
}

// Answers what shows the findings of KVARTS COMPAT, each time that it is called. Where there is no profile, or the user
// may not ask, it does not ask. What has not changed is left as it is: a wide table may have been moved.
function compatPanel(place) {
  let isOver = false;
  let isWhole = false;
  let before = null;
  const load = async () => {
    if (isOver || !session.profile || !may('kvarts|compat')) return;
    let told;
    try {
      told = await call('KVARTS', 'COMPAT');
    } catch (error) {
      isOver = /^(ERR|NOPERM) /.test(error.message);
      return;
    }
    const now = JSON.stringify([told, isWhole]);
    if (now === before || place.contains(document.activeElement)) return;
    before = now;
    const all = told.get('findings');
    const rows = (isWhole ? all : all.slice(0, FEW)).map((one) => [
      h('code', {}, one.get('rule')), h('code', {}, cut(shown(one.get('command')), 100)), h('code', {}, cut(shown(one.get('keys')), 200)),
      shown([one.get('client'), one.get('library')].filter((word) => word).join(', ') || one.get('address')), count(one.get('count')),
      time(one.get('first-ms') / 1000), time(one.get('last-ms') / 1000), one.get('fix'),
    ]);
    put(place, panel('Findings of the profile',
      facts([['Profile', told.get('profile')], ['Mode', told.get('mode')], ['Findings', count(all.length)], ['Left out', count(told.get('left-out'))]]),
      table('What would not run there', ['Rule', 'Command', { name: 'Keys', words: true }, { name: 'Client', words: true }, { name: 'Count', number: true }, { name: 'First (UTC)', fixed: true }, { name: 'Last (UTC)', fixed: true }, { name: 'Instead', wide: true }],
        rows, 'Nothing that would not run there.'),
      rows.length < all.length ? button('All', () => { isWhole = true; document.activeElement.blur(); return attempt(load); }) : null));
  };
  return load;
}

async function act(title, text, action, words) {
  if (await confirmed(title, text, action)) await attempt(() => call(...words), 'It has begun.');
}

function healthPanel(health) {
  if (health instanceof Error) return panel('Health', failure(health));
  const parts = health.get('parts').map((part) => [
    part.get('name'), part.get('state') === 'stuck' ? bad('stuck') : part.get('state'), micros(part.get('round-trip-us') ?? 0), part.get('about') || '–',
  ]);
  return panel('Health', facts([['Status', health.get('status'), health.get('status') === 'stuck'], ['Ready', health.get('ready'), health.get('ready') !== 'yes'], ['Slowest', health.get('slowest') || '–']]),
    table('Parts of the server', [{ name: 'Part', fixed: true }, { name: 'State', fixed: true }, { name: 'Round trip', number: true }, { name: 'About', words: true }], parts));
}

// From these on a replica is marked.
const BEHIND_MAX_BYTES = 1 << 20;
const LAG_MAX_S = 10;

const bad = (text) => h('span', { class: 'bad' }, text);

function replication(fields) {
  const replicas = Object.entries(fields).filter(([name]) => /^slave\d+$/.test(name)).map(([, text]) => {
    const of = Object.fromEntries(text.split(',').map((part) => part.split('=')));
    const behind = Number(fields.master_repl_offset) - Number(of.offset);
    const lag = Number(of.lag ?? 0);
    return [`${of.ip}:${of.port}`, of.state === 'online' ? of.state : bad(of.state),
      behind > BEHIND_MAX_BYTES ? bad(bytes(behind)) : bytes(Math.max(0, behind)), lag > LAG_MAX_S ? bad(`${span(lag)} ago`) : `${span(lag)} ago`];
  });
  const isLate = replicas.some((cells) => cells.some((cell) => cell instanceof Element));
  const follows = fields.role === 'slave' ? [
    ['Primary', `${fields.master_host}:${fields.master_port}`], ['Link', fields.master_link_status, fields.master_link_status !== 'up'],
    ['Heard of', fields.master_last_io_seconds_ago >= 0 ? `${fields.master_last_io_seconds_ago} s ago` : '–', fields.master_last_io_seconds_ago > 2 * LAG_MAX_S], ['Copy under way', fields.master_sync_in_progress === '1' ? 'yes' : 'no'],
  ] : [];
  return panel('Replication',
    facts([['Role', fields.role === 'slave' ? 'replica' : 'primary'], ...follows, ['Replicas', fields.connected_slaves],
      ['Offset', count(fields.master_repl_offset)], ['Backlog', bytes(fields.repl_backlog_size)], ['Failover', fields.master_failover_state]]),
    replicas.length === 0 ? null : table('Replicas', [{ name: 'Address', fixed: true }, 'State', { name: 'Behind', number: true }, { name: 'Heard of', number: true }], replicas),
    isLate ? h('p', { class: 'advice bad' }, 'A replica that is far behind, or silent, loses what is written now if this server fails: its network or disk is too slow, or it is stopped. Its own log and figures say which.') : null);
}

function persistence(fields) {
  const [saveFailed, writeFailed, rewriteFailed] = ['rdb_last_bgsave_status', 'aof_last_write_status', 'aof_last_bgrewrite_status']
    .map((name) => fields[name] === 'err');
  const aof = fields.aof_enabled === '1' ? [
    ['Size', bytes(fields.aof_current_size)], ['Last write', fields.aof_last_write_status, writeFailed],
    ['Last rewrite', fields.aof_last_bgrewrite_status, rewriteFailed], ['Rewrite under way', fields.aof_rewrite_in_progress === '1' ? 'yes' : 'no'],
  ] : [];
  return panel('Persistence',
    fields.loading === '1' ? h('p', { class: 'failure' }, `Loading: ${fields.loading_loaded_perc} %, ${span(fields.loading_eta_seconds)} left.`) : null,
    h('h3', {}, 'Snapshots'),
    facts([['Last', fields.rdb_last_save_time > 0 ? `${time(fields.rdb_last_save_time)} UTC` : 'none'], ['Status', fields.rdb_last_bgsave_status, saveFailed],
      ['Changes since', count(fields.rdb_changes_since_last_save)], ['Under way', fields.rdb_bgsave_in_progress === '1' ? 'yes' : 'no']]),
    saveFailed ? h('p', { class: 'advice bad' }, 'The last snapshot failed; what was changed since the one before would be lost. The log says why: mostly a full disk, or rights of the folder. With stop-writes-on-bgsave-error writes are refused until BGSAVE ends well.') : null,
    h('h3', {}, 'Append-only file'),
    facts([['On', fields.aof_enabled === '1' ? 'yes' : 'no'], ...aof]),
    writeFailed ? h('p', { class: 'advice bad' }, 'The last write failed, and writes of clients are refused until one does not: make room on the disk. It is tried again each second.') : null,
    rewriteFailed ? h('p', { class: 'advice bad' }, 'The last rewrite failed: the file grows on. A rewrite needs room for a second file beside it; BGREWRITEAOF tries again.') : null);
}

function server(fields) {
  return panel('Server', facts([
    ['Version', fields.kvarts_version], ['As Redis', fields.redis_version], ['Mode', fields.server_mode], ['Up for', span(fields.uptime_in_seconds)],
    ['Process', fields.process_id], ['Port', fields.tcp_port], ['Threads', fields.worker_threads], ['System', fields.os],
    ['Memory, most', bytes(fields.used_memory_peak)], ['Of the system', bytes(fields.used_memory_rss)], ['Policy', fields.maxmemory_policy],
    ['Configuration', fields.config_file || 'no file'],
  ]));
}
