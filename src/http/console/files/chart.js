// Lines over the last minutes, drawn as SVG.

import { h, s } from './dom.js';
import { span as duration } from './format.js';

const WIDTH = 300;
const HEIGHT = 80;
// The time that is shown at least, however little there is.
const WINDOW_MIN_MS = 60 * 1000;

// Lines of a chart whose series are chosen by what there is.
const LINES_MAX = 3;

// A chart: { title, series: [{ key, name }], format, max, threshold, above, rule, advice }. `rule` says what is well. `threshold`
// is where `advice` begins to hold of the first series: above it, or with `above: false` below it; `judged` names another
// series for it, `isBad(last, points)` judges otherwise, and `whole(points)` is what `more` has no room for. `choose(points)` answers the series where they are not always the same.
// Returns the element and what draws it anew: as much as there is of the last `most` milliseconds.
export function chart(given) {
  const value = h('p', { class: 'value' }, '–');
  const more = h('p', { class: 'more' });
  const advice = h('p', { class: 'advice' });
  const lineCount = given.choose ? LINES_MAX : given.series.length;
  const lines = Array.from({ length: lineCount }, (_, at) => s('path', { class: `line line-${at}` }));
  // Points that have no neighbour, of which a line has nothing.
  const dots = Array.from({ length: lineCount }, (_, at) => s('path', { class: `dot line-${at}` }));
  const area = lineCount === 1 ? s('path', { class: 'area' }) : null;
  const limit = s('line', { class: 'limit', x1: 0, x2: WIDTH, y1: 0, y2: 0 });
  const title = s('title', {}, given.title);
  const drawing = s('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' },
    title, ...(area ? [area] : []), limit, ...lines, ...dots);
  const top = h('span', {});
  const ago = h('span', {});
  const names = Array.from({ length: lineCount }, (_, at) => h('span', { class: `key key-${at}` }, given.series?.[at].name ?? ''));
  // Beside and below the lines, never over them.
  const element = h('section', { class: 'panel chart' },
    h('h2', {}, given.title), value, more,
    h('div', { class: 'plot' },
      h('div', { class: 'levels', 'aria-hidden': 'true' }, top, h('span', {}, '0')), drawing,
      h('div', { class: 'times', 'aria-hidden': 'true' }, ago, h('span', {}, 'now'))),
    lineCount > 1 ? h('p', { class: 'legend' }, names) : null, advice);

  function draw(points, most) {
    const last = points.at(-1);
    if (!last) return;
    const end = last.at;
    const span = Math.min(most, Math.max(WINDOW_MIN_MS, end - points[0].at));
    const inWindow = points.filter((point) => end - point.at <= span);
    const series = given.choose ? given.choose(inWindow) : given.series;
    const values = series.flatMap(({ key }) => inWindow.map((point) => point[key]).filter((one) => one !== null));
    const bound = given.max ?? nice(Math.max(0, ...values, given.least ?? 0), given.isBytes);
    const x = (point) => (WIDTH * (1 - (end - point.at) / span)).toFixed(1);
    const y = (one) => (HEIGHT - 1 - (HEIGHT - 4) * Math.min(1, one / (bound || 1))).toFixed(1);
    lines.forEach((line, at) => {
      const path = series[at] ? trace(inWindow, series[at].key, x, y) : { line: '', area: '', dots: '' };
      line.setAttribute('d', path.line);
      area?.setAttribute('d', path.area);
      dots[at].setAttribute('d', path.dots);
      if (given.choose) {
        names[at].textContent = series[at]?.name ?? '';
        names[at].hidden = !series[at];
      }
    });
    const judged = given.judged ?? given.series?.[0].key;
    const limitAt = given.limit ? given.limit(last) : given.threshold ?? 0;
    const shows = limitAt > 0 && limitAt <= bound;
    limit.classList.toggle('gone', !shows);
    if (shows) for (const name of ['y1', 'y2']) limit.setAttribute(name, y(limitAt));
    top.textContent = given.format(bound);
    ago.textContent = agoInWords(span);
    const now = given.series ? last[given.series[0].key] : null;
    value.textContent = given.say ? given.say(last, inWindow) : now === null ? '–' : given.format(now);
    more.textContent = given.more?.(last, inWindow) ?? '';
    more.title = given.whole?.(inWindow) ?? more.textContent;
    const level = last[judged];
    const bad = given.isBad ? given.isBad(last, inWindow)
      : level !== null && given.threshold !== undefined && (given.above === false ? level < given.threshold : level > given.threshold);
    element.classList.toggle('bad', Boolean(bad));
    const said = (text, ...of) => (typeof text === 'function' ? text(...of) : text);
    advice.textContent = bad ? said(given.advice, inWindow) : said(given.rule, last) ?? '';
    const known = values.length ? `; ${given.format(Math.min(...values))} to ${given.format(Math.max(...values))} in the last ${duration(span / 1000)}` : '';
    title.textContent = `${given.title}: ${value.textContent} now${known}`;
  }
  return { element, draw };
}

// The line through a series, with gaps where there is no value, the area below it, and a dot for each point between
// gaps: where the server stalls, one stands for all that time.
function trace(points, key, x, y) {
  let line = '';
  let area = '';
  let dots = '';
  let start = null;
  let before = null;
  let [length, level] = [0, null];
  const close = () => {
    if (length === 1) dots += `M${start} ${level}h0`;
    length = 0;
    if (start !== null) area += `L${before} ${HEIGHT}L${start} ${HEIGHT}Z`;
    start = null;
  };
  for (const point of points) {
    if (point[key] === null) {
      close();
      continue;
    }
    level = y(point[key]);
    length += 1;
    const step = `${start === null ? 'M' : 'L'}${x(point)} ${level}`;
    line += step;
    area += step;
    start ??= x(point);
    before = x(point);
  }
  close();
  return { line, area, dots };
}

// The next round number; of bytes a power of two.
function nice(value, isBytes) {
  if (value <= 0) return 1;
  if (isBytes) return 2 ** Math.ceil(Math.log2(value));
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((times) => times * unit).find((round) => round >= value);
}

// The time at the left edge of a chart.
function agoInWords(span) {
  if (span <= WINDOW_MIN_MS) return 'a minute ago';
  return span < 2 * WINDOW_MIN_MS ? `${Math.round(span / 1000)} seconds ago` : `${Math.round(span / 60000)} minutes ago`;
}
