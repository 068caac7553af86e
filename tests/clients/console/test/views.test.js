/** Each view, in light and dark, wide and narrow: it shows what there is, nothing fails, axe finds nothing, nothing sticks out. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Console, delay, isTooWide, launch, layoutShift, open, picture, until, violations } from '../lib/browser.js';
import { fill } from '../lib/data.js';

let console;
let browser;

before(async () => {
  console = await Console.start('--slowlog-log-slower-than', '0', '--maxmemory', '64mb', '--key-sizes', 'yes', '--latency-monitor-threshold', '1');
  await fill(console);
  await console.run(Array.from({ length: 3000 }, (_, at) => ['GET', at % 10 === 0 ? 'missing' : `user:${at % 5}x`]));
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await console?.stop();
});

/** Views, and a text that is there once they have what they show. */
const VIEWS = {
  overview: 'Operations a second',
  keys: 'user:',
  slow: 'Commands by time',
  hot: 'Largest by memory',
  clients: 'console',
  line: 'Commands run as those',
  live: 'Not started.',
  slots: 'Slots with keys',
  state: 'Replication',
  config: 'maxmemory',
};

for (const [colorScheme, width, height] of [['light', 1440, 900], ['dark', 360, 740], ['dark', 1024, 768], ['light', 360, 740]]) {
  test(`views in ${colorScheme}, ${width} wide`, async () => {
    const page = await open(browser, console.url, { colorScheme, viewport: { width, height } });
    for (const [name, text] of Object.entries(VIEWS)) {
      await page.goto(`${console.url}/#/${name}`);
      await page.locator(`main .view-${name}`).getByText(text).first().waitFor();
      if (name === 'overview') await delay(2200);
      assert.equal(await isTooWide(page), false, `${name} is wider than its window`);
      assert.deepEqual(await violations(page), [], name);
      await picture(page, `${name}-${colorScheme}-${width}`);
    }
    for (const [key, text] of [['user:7', 'Name 7'], ['board:week', 'player 0'], ['events', 'kind: click'], ['queue:mail', 'job 0'], ['tags', 'tag-'], ['session:9', 'reader'], ['long', 'lorem']]) {
      await page.goto(`${console.url}/#/keys/t:${encodeURIComponent(key)}?db=0`);
      await page.getByRole('heading', { name: key, exact: true }).waitFor();
      await page.getByText(text).first().waitFor();
      assert.equal(await isTooWide(page), false, `${key} is wider than its window`);
      assert.deepEqual(await violations(page), [], key);
      await picture(page, `key-${key.replace(/\W/g, '-')}-${colorScheme}-${width}`);
    }
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });
}

test('charts do not begin empty', async () => {
  await until('ten seconds are over', async () => {
    const { text } = await console.ask('GET', '/api/figures/history', { 'X-Kvarts-Console': '1' });
    return JSON.parse(text).tens.length > 0;
  }, 30_000);
  const page = await open(browser, console.url);
  const line = page.locator('.chart .line').first();
  const points = async () => ((await line.getAttribute('d')) ?? '').split(/[ML]/).length - 1;
  // At once, and not one more each second.
  await until('there is a past', async () => (await points()) >= 5, 2_000);
  await page.getByLabel('Shown').selectOption('hour');
  await page.waitForURL(/last=hour/);
  await until('the hour is shown', async () => (await points()) > 0);
  assert.deepEqual(await violations(page), []);
  await picture(page, 'overview-hour');
  await page.context().close();
});

test('nothing moves when replies are late', async () => {
  const page = await open(browser, console.url, { viewport: { width: 360, height: 740 } }, '/#/line');
  // The latest are those of what is shown first.
  await page.route('**/api/command', async (route) => {
    const isFirst = /PREFIXES|"SLOW"/.test(route.request().postData());
    await delay(isFirst ? 900 : 100);
    await route.continue();
  });
  for (const [name, first, last] of [['hot', 'Prefixes', 'Largest keys by elements'], ['slow', 'Where the time went', 'Commands by time']]) {
    await page.goto('about:blank');
    await page.goto(`${console.url}/#/${name}`);
    await page.locator(`.view-${name}`).getByText('Looking…').waitFor();
    await page.getByRole('table', { name: last }).waitFor();
    assert.equal(await page.getByText('Looking…').count(), 0, `${last} is shown before ${first}`);
    const shift = await layoutShift(page);
    assert.ok(shift < 0.02, `${name} moved by ${shift}`);
  }
  await page.context().close();
});

test('nothing moves by itself while figures come', async () => {
  const page = await open(browser, console.url);
  await page.getByText('p99').first().waitFor();
  await delay(3000);
  const shift = await layoutShift(page);
  assert.ok(shift < 0.02, `the page moved by ${shift}`);
  await page.context().close();
});
