// Slow requests, and the commands that take most time.

import { call, info, may, mayChange, run, Refused } from '../api.js';
import { attempt, button, confirmed, h, heading, inTurn, inWords, panel, put, table } from '../dom.js';
import { count, cut, micros, shown, time } from '../format.js';

export const title = 'Slow requests';

// Entries that are shown at first, and at most.
const FEW = 20;
const MANY = 500;
const COMMANDS = 60;

const LOGS = { SLOW: 'Slow requests', 'LARGE-REQUEST': 'Large requests', 'LARGE-REPLY': 'Large replies' };

export async function show(place) {
  const log = h('select', { id: 'log' }, Object.entries(LOGS).map(([name, text]) => h('option', { value: name }, text)));
  const entries = h('div', {});
  const parts = h('div', {});
  const commands = h('div', {});
  const doctor = h('div', {});
  let wanted = FEW;
  const load = () => inTurn(
    [parts, 'Where the time went', () => showParts(parts)],
    [entries, `The latest ${LOGS[log.value].toLowerCase()}`, () => showLog(entries, log.value, wanted, () => { wanted = MANY; return load(); })],
    [commands, 'Commands by time', () => showCommands(commands)],
  );
  log.addEventListener('change', load);
  put(place,
    heading('Slow requests', h('label', { class: 'field-inline', for: 'log' }, 'Log', log), button('Reload', load),
      may('latency|doctor') || may('memory|doctor') ? button('Advice', () => attempt(() => advise(doctor))) : null,
      !mayChange('commandlog|reset') && !mayChange('slowlog|reset') ? null : button('Clear', async () => {
        if (!await confirmed('Clear the log?', 'Its entries are forgotten.', 'Clear')) return;
        if (await attempt(() => call(...logCommand('RESET', log.value)), 'Cleared.')) load();
      }, { class: 'danger' })),
    doctor, parts, entries, commands);
  await load();
}

// The words that get or reset a log: SLOWLOG where the user may not run COMMANDLOG.
function logCommand(action, name, ...further) {
  const word = action.toLowerCase();
  const isOld = name === 'SLOW' && !may(`commandlog|${word}`) && may(`slowlog|${word}`);
  return isOld ? ['SLOWLOG', action, ...further] : ['COMMANDLOG', action, ...further, name];
}

async function showLog(entries, name, wanted, more) {
  const [found, limits] = await run([
    logCommand('GET', name, wanted),
    ['CONFIG', 'GET', 'slowlog-log-slower-than', 'commandlog-request-larger-than', 'commandlog-reply-larger-than'],
  ]);
  if (found instanceof Refused) throw found;
  const isSlow = name === 'SLOW';
  const limit = limits instanceof Refused ? null
    : limits.get(isSlow ? 'slowlog-log-slower-than' : `commandlog-${name.slice(6).toLowerCase()}-larger-than`)
      ?? limits.find(([key]) => key.endsWith(isSlow ? 'slower-than' : `${name.slice(6).toLowerCase()}-larger-than`))?.[1];
  const measure = (value) => (isSlow ? micros(value) : `${count(value)} bytes`);
  const rows = found.map(([id, at, value, words, address, client]) => [
    count(id), time(at), measure(value), h('code', {}, cut(words.map(shown).join(' '), 400)), client ? `${client} (${address})` : address,
  ]);
  put(entries, panel(`The latest ${LOGS[name].toLowerCase()}`,
    limit === null || limit === undefined ? null : h('p', { class: 'more' }, `Kept from ${measure(Number(limit))} on.`),
    table('Entries of the log', [{ name: 'Number', number: true }, { name: 'Time (UTC)', fixed: true }, { name: isSlow ? 'Took' : 'Size', number: true }, { name: 'Request', wide: true }, { name: 'Client', fixed: true }],
      rows, 'The log is empty.'),
    rows.length === wanted && wanted < MANY ? button('More', more) : null));
}

// Requests with what their time was spent on, from KVARTS SLOW.
const PARTS = {
  lock: 'waiting for a lock', pause: 'a pause', evict: 'making room', run: 'running', disk: 'waiting for the disk', write: 'its client reading',
};

// The request, of a transaction with the one that took longest in it.
function requestOf(one) {
  const words = (name) => (one.get(name) ?? []).map(shown).join(' ');
  const longest = words('longest-command');
  return longest ? `${words('command')} with ${longest} (${micros(one.get('longest-us'))})` : words('command');
}

async function showParts(place) {
  const [found, limit] = await run([['KVARTS', 'SLOW', 'GET', 20], ['CONFIG', 'GET', 'slow-requests-slower-than']]);
  if (found instanceof Refused) throw found;
  const from = limit instanceof Refused ? null : limit.get('slow-requests-slower-than');
  const rows = found.map((one) => {
    const of = one.get('parts-us').filter(([, us]) => us > 0).sort((left, right) => right[1] - left[1]);
    return [
      time(one.get('time-ms') / 1000), micros(one.get('total-us')),
      of.map(([part, us]) => `${PARTS[part] ?? part} ${micros(us)}`).join(', ') || '–',
      one.get('blocked-by') || '–', h('code', {}, cut(requestOf(one), 300)), one.get('client-name') || one.get('client-address'),
    ];
  });
  put(place, panel('Where the time went',
    from === null ? null : h('p', { class: 'more' }, Number(from) < 0 ? 'Nothing is kept (slow-requests-slower-than).' : `Kept from ${micros(Number(from))} on.`),
    table('Where the time went', [{ name: 'Time (UTC)', fixed: true }, { name: 'Took', number: true }, { name: 'Spent on', words: true }, { name: 'In the way', half: true }, { name: 'Request', half: true }, { name: 'Client', fixed: true }],
      rows, 'No request took that long.')));
}

// Commands by the time that all their calls took together, from INFO.
async function showCommands(commands) {
  const fields = await info('commandstats', 'latencystats');
  const parts = (text) => Object.fromEntries(text.split(',').map((part) => part.split('=')));
  const of = Object.entries(fields)
    .filter(([name]) => name.startsWith('cmdstat_'))
    .map(([name, text]) => ({ name: name.slice(8), ...parts(text), ...parts(fields[name.replace('cmdstat_', 'latency_percentiles_usec_')] ?? 'p50=') }))
    .sort((one, other) => other.usec - one.usec);
  const all = of.reduce((sum, { usec }) => sum + Number(usec), 0) || 1;
  const latency = (value) => (value ? micros(Number(value)) : '–');
  const rows = of.slice(0, COMMANDS).map((one) => [
    h('code', {}, one.name.replace('|', ' ')), count(one.calls), `${((100 * one.usec) / all).toFixed(1)} %`, latency(one.usec_per_call),
    latency(one.p50), latency(one.p99), latency(one['p99.9']), count(Number(one.failed_calls) + Number(one.rejected_calls)),
  ]);
  const number = (name) => ({ name, number: true });
  put(commands, panel('Commands by time',
    table('Commands by time', [{ name: 'Command', fixed: true }, number('Calls'), number('Share'), number('Mean'), number('p50'), number('p99'), number('p99.9'), number('Failed')],
      rows, 'No command has run yet.')));
}

async function advise(doctor) {
  const [latency, memory] = await run([['LATENCY', 'DOCTOR'], ['MEMORY', 'DOCTOR']]);
  put(doctor, panel('Advice', h('pre', { class: 'text', tabindex: '0', 'aria-label': 'Advice' },
    [latency, memory].map((one) => (one instanceof Refused ? inWords(one) : one)).join('\n\n'))));
}
