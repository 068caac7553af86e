/** What charts show of figures that are rare: points between gaps, few reads, many codes of errors. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Console, isTooWide, launch, open, picture, until, violations } from '../lib/browser.js';

let console;
let browser;

before(async () => {
  console = await Console.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await console?.stop();
});

const tile = (page, title) => page.locator('.chart').filter({ has: page.getByRole('heading', { name: title, exact: true }) });

/** Opens the overview of a past in which points are as `change(values, seconds ago)` makes them. */
async function past(change) {
  let givenMs = 0;
  const page = await open(browser, console.url);
  await page.route('**/api/figures/history*', async (route) => {
    const answer = await (await route.fetch()).json();
    answer.tens = [];
    const isFirst = Number(new URL(route.request().url()).searchParams.get('since') ?? 0) === 0;
    if (!isFirst) {
      // Time stands still; before the page is loaded again, it may still ask for what is new.
      await route.fulfill({ json: { ...answer, now_ms: givenMs || answer.now_ms, seconds: [] } });
      return;
    }
    givenMs = answer.now_ms;
    const known = answer.seconds.at(-1) ?? answer.series.map(() => 0);
    const now = Math.floor(answer.now_ms / 1000) * 1000;
    answer.seconds = Array.from({ length: 90 }, (_, place) => {
      const ago = 89 - place;
      const values = Object.fromEntries(answer.series.map((name, at) => [name, known[at + 1] ?? 0]));
      Object.assign(values, { ops: 0, hit_percent: null, hits: 0, misses: 0 });
      change(values, ago);
      return [now - ago * 1000, ...answer.series.map((name) => values[name])];
    });
    await route.fulfill({ json: answer });
  });
  await page.reload();
  return page;
}

test('memory without a limit is not judged', async () => {
  const page = await open(browser, console.url);
  await tile(page, 'Memory').getByText('No limit is set').waitFor();
  await console.call('CONFIG', 'SET', 'maxmemory', '1gb');
  await tile(page, 'Memory').getByText('Well up to 80 % of the limit.').waitFor();
  await console.call('CONFIG', 'SET', 'maxmemory', '0');
  await page.context().close();
});

test('a point between gaps is a dot', async () => {
  const page = await past((values, ago) => {
    values.ops = ago === 40 ? 900 : null;
    for (const name of ['p50_us', 'p99_us', 'p999_us']) values[name] = ago === 40 || ago < 20 ? 500 : null;
  });
  const paths = (title, kind) => tile(page, title).locator(`path.${kind}`).evaluateAll((all) => all.map((one) => one.getAttribute('d') ?? ''));
  await until('it is drawn', async () => (await paths('Operations a second', 'dot')).join() !== '');
  const dot = /^M\d+\.\d \d+\.\dh0$/;
  assert.match((await paths('Operations a second', 'dot'))[0], dot);
  // Beside a line as well, and points of the line are none.
  const latencies = await paths('Latency of commands', 'dot');
  assert.equal(latencies.length, 3);
  for (const one of latencies) assert.match(one, dot);
  assert.match((await paths('Latency of commands', 'line'))[0], /L.*L/);
  for (const [width, colorScheme] of [[1400, 'light'], [1024, 'dark'], [360, 'light']]) {
    await page.setViewportSize({ width, height: 800 });
    await page.emulateMedia({ colorScheme });
    assert.equal(await isTooWide(page), false);
    await picture(page, `charts-dots-${colorScheme}-${width}`);
  }
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('the hit rate of few reads is shown and judged', async () => {
  // A read each fourth second, of which every second one misses; before the minute all hit.
  const page = await past((values, ago) => {
    if (ago % 4 !== 1) return;
    const isHit = ago > 60 || ago % 8 === 1;
    Object.assign(values, { hits: isHit ? 1 : 0, misses: isHit ? 0 : 1, hit_percent: isHit ? 100 : 0 });
  });
  const rate = tile(page, 'Hit rate');
  await rate.getByText('of 15 reads in the last 60 s').waitFor();
  assert.match(await rate.locator('.value').textContent(), /^53\.3 %$/);
  await rate.getByText('Under 80 %').waitFor();
  assert.equal(await rate.evaluate((element) => element.classList.contains('bad')), true);
  assert.deepEqual(await violations(page), []);
  await picture(page, 'charts-few-reads');
  await page.context().close();
  // With many the last second counts alone, and very few are not judged.
  const busy = await past((values, ago) => Object.assign(values, ago === 0 ? { hits: 300, misses: 100, hit_percent: 75 } : { misses: 500, hit_percent: 0 }));
  await tile(busy, 'Hit rate').getByText('of 400 reads in the last second').waitFor();
  assert.equal(await tile(busy, 'Hit rate').locator('.value').textContent(), '75 %');
  await busy.context().close();
  const single = await past((values, ago) => { if (ago === 3) Object.assign(values, { misses: 1, hit_percent: 0 }); });
  await tile(single, 'Hit rate').getByText('of 1 read in the last 60 s').waitFor();
  assert.equal(await single.locator('.chart.bad').count(), 0);
  await single.context().close();
});

test('many codes of errors are told as far as there is room', async () => {
  const page = await past((values, ago) => {
    const counts = { OOM: 100, NOPERM: 24, NOAUTH: 12, WRONGPASS: 6, READONLY: 3, ERR: 2 };
    for (const [code, count] of Object.entries(counts)) values[`error_${code}`] = ago === 5 ? count : 0;
    values.errors = ago === 5 ? 147 : 0;
    values.keys = 1;
  });
  const line = tile(page, 'Errors a second').locator('.more');
  await line.getByText('OOM 100, NOPERM 24, 4 more').waitFor();
  assert.match(await line.getAttribute('title'), /NOAUTH 12, WRONGPASS 6, READONLY 3, ERR 2/);
  for (const width of [1280, 360]) {
    await page.setViewportSize({ width, height: 900 });
    assert.equal(await line.evaluate((element) => element.scrollWidth > element.clientWidth), false, `cut off at ${width}`);
    await picture(page, `charts-errors-${width}`);
  }
  await tile(page, 'Operations a second').getByText('1 key', { exact: true }).waitFor();
  await page.context().close();
});

test('waits for locks are told and judged', async () => {
  const withWaits = (waited, p99) => past((values) => { Object.assign(values, { lock_wait_s: waited, lock_wait_p99_us: p99 }); });
  for (const [waited, p99, isBad, value, more] of [
    [0, 0, false, '0 µs in a second', 'p99 of all commands: no wait'],
    [0.2, 4000, false, '200 ms in a second', 'p99 of all commands: 4 ms'],
    [0.9, 1000, true, '900 ms in a second', 'p99 of all commands: 1 ms'],
    [0.1, 20000, true, '100 ms in a second', 'p99 of all commands: 20 ms'],
  ]) {
    const page = await withWaits(waited, p99);
    const waits = tile(page, 'Waits for locks');
    await waits.getByText(value, { exact: true }).waitFor();
    assert.equal(await waits.locator('.more').innerText(), more);
    await until('it is judged', async () => (await waits.getAttribute('class')).includes('bad') === isBad);
    if (isBad) assert.match(await waits.locator('.advice').innerText(), /a hot key/);
    await page.close();
  }
});
