// What the server does at this moment, against what operators want of it.

import { chart } from '../chart.js';
import * as errors from '../errors.js';
import { facts, h, heading, put } from '../dom.js';
import { HOUR_MS, MINUTES_MS, figures } from '../figures.js';
import { bytes, count, counted, micros, percent, short, span as duration } from '../format.js';
import { troublePanel } from '../trouble.js';

export const title = 'Overview';

const seconds = (value) => micros(value * 1e6);
// Reads that are enough for a hit rate; from how many on it is judged; how far back they are looked for.
const READS_ENOUGH = 100;
const READS_JUDGED = 10;
const READS_MS = 60 * 1000;

// The hit rate of the last seconds that had reads enough: with little traffic a single second says nothing.
function lately() {
  const all = figures.points;
  const end = all.at(-1)?.at ?? 0;
  let [hits, misses, seconds] = [0, 0, 0];
  for (let at = all.length - 1; at >= 0 && hits + misses < READS_ENOUGH && end - all[at].at < READS_MS; at -= 1) {
    // Where the server stalled, a point is of several seconds.
    const length = (all[at].at - (all[at - 1]?.at ?? all[at].at - 1000)) / 1000;
    hits += length * (all[at].hits ?? 0);
    misses += length * (all[at].misses ?? 0);
    seconds += length;
  }
  // Sums of rates are not exact.
  const reads = Math.round(hits + misses);
  return { reads, percent: reads > 0 ? (100 * hits) / (hits + misses) : null, seconds: Math.round(seconds) };
}

// Time that all commands together may wait for locks in a second: half the time of one thread.
const WAITED_MAX_S = 0.5;

function waitsInWords(p99) {
  if (p99 === null) return 'no commands in the last second';
  return p99 === 0 ? 'p99 of all commands: no wait' : `p99 of all commands: ${micros(p99)}`;
}

const each = (format, unit) => (value) => `${format(value)}${unit}`;

const CHARTS = [
  {
    title: 'Operations a second', series: [{ key: 'ops' }], format: short,
    rule: 'All commands of all clients, of scripts and transactions as well.',
    more: (last) => (last.keys === null ? '' : counted(last.keys, 'key')),
  },
  {
    title: 'Hit rate', series: [{ key: 'hit_percent' }], format: percent, max: 100, threshold: 80, above: false,
    say: () => (lately().percent === null ? '–' : percent(lately().percent)),
    more: () => hitsInWords(lately()),
    isBad: () => lately().reads >= READS_JUDGED && lately().percent < 80,
    rule: 'Well from 80 % on.',
    advice: 'Under 80 %: keys are evicted or end too soon, or clients ask for what never was. See evictions, and the expiries of prefixes.',
  },
  {
    title: 'Memory', series: [{ key: 'memory_bytes' }], format: bytes, isBytes: true, threshold: 80, judged: 'memory_percent',
    limit: (last) => 0.8 * last.memory_max_bytes,
    more: (last) => (last.memory_max_bytes > 0 ? `${percent(last.memory_percent)} of maxmemory, ${bytes(last.memory_max_bytes)}` : 'no limit (maxmemory 0)'),
    rule: (last) => (last.memory_max_bytes > 0 ? 'Well up to 80 % of the limit.' : 'No limit is set: it may take what the machine has. CONFIG SET maxmemory sets one.'),
    advice: 'Over 80 % of maxmemory: soon keys are evicted, or writes refused. Raise the limit, or shorten expiries; the view of hot and big keys says what takes most.',
  },
  {
    title: 'Latency of commands', series: [{ key: 'p50_us', name: 'p50' }, { key: 'p99_us', name: 'p99' }, { key: 'p999_us', name: 'p99.9' }],
    format: micros, threshold: 10000, judged: 'p99_us',
    say: (last) => (last.p99_us === null ? '–' : `p99 ${micros(last.p99_us)}`),
    more: (last) => (last.p50_us === null ? 'no commands in the last second' : `p50 ${micros(last.p50_us)}, p99.9 ${micros(last.p999_us)}`),
    rule: 'Well while p99 is under 10 ms. Of execution alone, calls within scripts too; right within a factor of two.',
    advice: 'p99 over 10 ms: look at slow requests, and at what LATENCY DOCTOR says.',
  },
  {
    title: 'Waits for locks', series: [{ key: 'lock_wait_s' }], format: seconds, threshold: WAITED_MAX_S, least: 0.01,
    say: (last) => (last.lock_wait_s === null ? '–' : `${seconds(last.lock_wait_s)} in a second`),
    more: (last) => waitsInWords(last.lock_wait_p99_us),
    rule: 'Of all commands together, no part of their latency. Well under 500 ms in a second and with p99 under 10 ms.',
    isBad: (last) => last.lock_wait_s > WAITED_MAX_S || last.lock_wait_p99_us > 10000,
    advice: 'Commands wait for each other: a hot key, many keys under one hash tag, or long commands. Slow requests says what is in the way, KVARTS SLOW LOCKS who waits.',
  },
  {
    title: 'Errors a second', choose: errors.series, format: short, least: 1,
    say: (last) => (last.errors === null ? '–' : short(last.errors)),
    more: (last, points) => errors.inTotal(points, 30), whole: (points) => `Shown here: ${errors.inTotal(points)}`,
    rule: 'Well while clients are refused nothing (OOM, MISCONF, NOPERM and their like), and less than one command in a hundred fails.',
    isBad: (last, points) => errors.areBad(points), advice: errors.advice,
  },
  {
    title: 'Clients', series: [{ key: 'clients' }], format: count,
    more: (last) => `of ${count(last.clients_max)} (maxclients)`,
    rule: 'Well while no connection is refused.',
    isBad: (last, points) => points.some((point) => point.rejected > 0) || last.clients > 0.9 * last.clients_max,
    advice: 'Connections were refused, or soon will be: a pool leaks, or maxclients is too low. See the list of clients.',
  },
  {
    title: 'Blocked clients', series: [{ key: 'blocked' }], format: count, threshold: 0, least: 4,
    more: () => 'waiting for keys, replicas or a pause',
    rule: 'None waits.',
    advice: 'Consumers that wait for work are well. If there are more and more while there is work, producers are missing, or somebody paused the server.',
  },
  {
    title: 'Expiry lag', series: [{ key: 'expire_lag_s' }], format: seconds, threshold: 0.1, least: 0.01,
    more: (last) => `${short(last.expired ?? 0)} keys end a second`,
    rule: 'Well up to 100 ms: that late the last key was removed that had ended.',
    advice: 'Keys are removed more than 100 ms after their end: more end at once than can be removed, a command has their slots for long (State and KVARTS HEALTH name it), or no processor is idle. They are gone for clients, and hold memory for a while.',
  },
  {
    title: 'Evictions a second', series: [{ key: 'evicted' }], format: short, threshold: 0, least: 4,
    more: () => 'keys removed for want of memory',
    rule: 'Well while there are none, unless the server is a cache that is meant to be full.',
    advice: 'The limit of memory is reached, and keys are lost to make room: the hit rate falls next. Raise maxmemory, or keep less.',
  },
  {
    title: 'Network', series: [{ key: 'input_bytes', name: 'in' }, { key: 'output_bytes', name: 'out' }], format: each(bytes, '/s'), isBytes: true,
    say: (last) => (last.input_bytes === null ? '–' : `${bytes(last.output_bytes)}/s out`),
    more: (last) => (last.input_bytes === null ? '' : `${bytes(last.input_bytes)}/s in`),
    rule: 'What clients send and are sent; that of replicas is not among it.',
  },
];

function hitsInWords({ reads, seconds }) {
  if (reads === 0) return 'no reads in the last minute';
  return `of ${counted(reads, 'read')} in the last ${seconds === 1 ? 'second' : `${seconds} s`}`;
}

// How much of the past is shown, by the word in the address.
const SPANS = { minutes: 'Last five minutes', hour: 'Last hour' };

export function show(place, { query }) {
  const span = query.get('last') === 'hour' ? 'hour' : 'minutes';
  const charts = CHARTS.map(chart);
  const summary = h('div', {});
  const choice = h('select', { id: 'span', onchange: () => { location.hash = `#/overview?last=${choice.value}`; } },
    Object.entries(SPANS).map(([name, text]) => h('option', { value: name, selected: name === span }, text)));
  const troubles = troublePanel(() => h('p', { class: 'more' }, figures.role === 'replica'
    ? 'Nothing is the matter. This is a replica: it refuses writes (READONLY), as it should.' : 'Nothing is the matter: all that clients ask for is served.'));
  put(place, heading('Overview', h('label', { class: 'field-inline', for: 'span' }, 'Shown', choice)), troubles.element, summary,
    h('div', { class: 'charts' }, charts.map(({ element }) => element)));
  const draw = () => {
    const last = figures.points.at(-1);
    if (!last) {
      // The same room as with figures: nothing moves when they come.
      put(summary, facts(['Up for', 'Keys', 'Memory', 'Clients', 'Connections refused'].map((name) => [name, '–'])));
      return;
    }
    // The hour ends with the last second.
    const points = span === 'hour' ? [...figures.hour, last] : figures.points;
    const rejected = points.reduce((sum, point) => sum + (point.rejected ?? 0), 0);
    put(summary, facts([
      ['Up for', duration(last.uptime_s)],
      ['Keys', last.keys === null ? '–' : count(last.keys)],
      ['Memory', bytes(last.memory_bytes)],
      ['Clients', count(last.clients)],
      ['Connections refused', `${count(rejected)} lately`, rejected > 0],
    ]));
    charts.forEach((one) => one.draw(points, span === 'hour' ? HOUR_MS : MINUTES_MS));
  };
  draw();
  figures.listeners.add(draw);
  return () => {
    troubles.end();
    figures.listeners.delete(draw);
  };
}
