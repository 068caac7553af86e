// Replication, what is on disk, whether all parts of the server answer, and what a profile and rehearsed faults did.

import { call, info, session } from '../api.js';
import { attempt, button, confirmed, facts, h, heading, panel, put, repeat, table } from '../dom.js';
import { bytes, count, cut, micros, shown, span, time } from '../format.js';

export const title = 'State';

const EVERY_MS = 3000;

// Findings that are shown at first; there may be a thousand.
const FEW = 50;

export function show(place) {
  const content = h('div', { class: 'columns' });
  const found = h('div', {});
  const actions = session.readOnly ? [] : [
    button('Save a snapshot', () => act('Save a snapshot?', 'BGSAVE writes all data to a file, beside the service.', 'Save', ['BGSAVE'])),
    button('Rewrite the append-only file', () => act('Rewrite the append-only file?', 'BGREWRITEAOF writes it anew, as short as it can be.', 'Rewrite', ['BGREWRITEAOF'])),
  ];
  put(place, heading('State', ...actions), content, found);
  const compat = compatPanel(found);
  return repeat(EVERY_MS, () => attempt(async () => {
    const [fields, health] = await Promise.all([info('server', 'replication', 'persistence', 'memory'), call('KVARTS', 'HEALTH').catch(() => null)]);
    const faults = await faultsPanel(fields);
    if (!content.contains(document.activeElement)) put(content, faults, healthPanel(health), replication(fields), persistence(fields), server(fields));
    await compat();
  }));
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
// may not ask, it asks once. What has not changed is left as it is: a wide table may have been moved.
function compatPanel(place) {
  let isOver = false;
  let isWhole = false;
  let before = null;
  const load = async () => {
    if (isOver) return;
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
      table('What would not run there', ['Rule', 'Command', 'Keys', 'Client', { name: 'Count', number: true }, { name: 'First (UTC)', fixed: true }, { name: 'Last (UTC)', fixed: true }, { name: 'Instead', wide: true }],
        rows, 'Nothing that would not run there.'),
      rows.length < all.length ? button('All', () => { isWhole = true; document.activeElement.blur(); return attempt(load); }) : null));
  };
  return load;
}

async function act(title, text, action, words) {
  if (await confirmed(title, text, action)) await attempt(() => call(...words), 'It has begun.');
}

function healthPanel(health) {
  if (health === null) return panel('Health', h('p', { class: 'empty' }, 'This user may not ask (KVARTS HEALTH).'));
  const parts = health.get('parts').map((part) => [
    part.get('name'), part.get('state'), micros(part.get('round-trip-us') ?? 0), part.get('about') || '–',
  ]);
  return panel('Health', facts([['Status', health.get('status')], ['Ready', health.get('ready')], ['Slowest', health.get('slowest') || '–']]),
    table('Parts of the server', ['Part', 'State', { name: 'Round trip', number: true }, 'About'], parts));
}

function replication(fields) {
  const replicas = Object.entries(fields).filter(([name]) => /^slave\d+$/.test(name)).map(([, text]) => {
    const of = Object.fromEntries(text.split(',').map((part) => part.split('=')));
    const behind = Number(fields.master_repl_offset) - Number(of.offset);
    return [`${of.ip}:${of.port}`, of.state, bytes(Math.max(0, behind)), span(of.lag ?? 0)];
  });
  const follows = fields.role === 'slave' ? [
    ['Primary', `${fields.master_host}:${fields.master_port}`], ['Link', fields.master_link_status],
    ['Heard of', `${fields.master_last_io_seconds_ago} s ago`], ['Copy under way', fields.master_sync_in_progress === '1' ? 'yes' : 'no'],
  ] : [];
  return panel('Replication',
    facts([['Role', fields.role === 'slave' ? 'replica' : 'primary'], ...follows, ['Replicas', fields.connected_slaves],
      ['Offset', count(fields.master_repl_offset)], ['Backlog', bytes(fields.repl_backlog_size)], ['Failover', fields.master_failover_state]]),
    replicas.length === 0 ? null : table('Replicas', ['Address', 'State', { name: 'Behind', number: true }, { name: 'Heard of', number: true }], replicas));
}

function persistence(fields) {
  const aof = fields.aof_enabled === '1' ? [
    ['Size', bytes(fields.aof_current_size)], ['Last write', fields.aof_last_write_status],
    ['Last rewrite', fields.aof_last_bgrewrite_status], ['Rewrite under way', fields.aof_rewrite_in_progress === '1' ? 'yes' : 'no'],
  ] : [];
  return panel('Persistence',
    fields.loading === '1' ? h('p', { class: 'failure' }, `Loading: ${fields.loading_loaded_perc} %, ${span(fields.loading_eta_seconds)} left.`) : null,
    h('h3', {}, 'Snapshots'),
    facts([['Last', fields.rdb_last_save_time > 0 ? `${time(fields.rdb_last_save_time)} UTC` : 'none'], ['Status', fields.rdb_last_bgsave_status],
      ['Changes since', count(fields.rdb_changes_since_last_save)], ['Under way', fields.rdb_bgsave_in_progress === '1' ? 'yes' : 'no']]),
    h('h3', {}, 'Append-only file'),
    facts([['On', fields.aof_enabled === '1' ? 'yes' : 'no'], ...aof]));
}

function server(fields) {
  return panel('Server', facts([
    ['Version', fields.kvarts_version], ['As Redis', fields.redis_version], ['Mode', fields.server_mode], ['Up for', span(fields.uptime_in_seconds)],
    ['Process', fields.process_id], ['Port', fields.tcp_port], ['Threads', fields.worker_threads], ['System', fields.os],
    ['Memory, most', bytes(fields.used_memory_peak)], ['Of the system', bytes(fields.used_memory_rss)], ['Policy', fields.maxmemory_policy],
    ['Configuration', fields.config_file || 'no file'],
  ]));
}
