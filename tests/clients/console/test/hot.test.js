/** Hot keys in all forms: not looked for, of the last window, of a session of HOTKEYS START that hides them. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Console, launch, open, picture, until, violations } from '../lib/browser.js';

let console;
let browser;
let page;

before(async () => {
  console = await Console.start('--key-sizes', 'yes', '--hotkeys-window-seconds', '1', '--hotkeys-sampling-percentage', '100');
  browser = await launch();
  page = await open(browser, `${console.url}`, {}, '/#/hot');
});

after(async () => {
  assert.deepEqual(page.problems, []);
  await browser?.close();
  await console?.stop();
});

const panelOf = (title) => page.locator('.panel').filter({ has: page.getByRole('heading', { name: title, exact: true }) });
const press = (name, within = page) => within.getByRole('button', { name, exact: true }).click();
const use = () => console.run([['SET', 'busy:1', 'v'], ...Array.from({ length: 500 }, () => ['GET', 'busy:1']), ['SET', 'calm:1', 'v'.repeat(50_000)], ['GET', 'calm:1']]);

/** Uses keys and reloads until a text is there. */
async function seen(place) {
  await until('it is found', async () => {
    await use();
    await press('Reload');
    return (await place.count()) > 0;
  }, 30_000);
}

test('they are looked for where somebody wants it', async () => {
  await panelOf('Hot keys').getByText('hotkeys-top-k is 0').waitFor();
  assert.deepEqual(await violations(page), []);
  await press('Look for 16');
  await panelOf('Hot keys').getByText('They are looked for').waitFor();
  await seen(panelOf('Hot keys').getByRole('link', { name: 'busy:1', exact: true }));
  await picture(page, 'hot-window');
});

test('a session is shown beside them', async () => {
  await console.call('HOTKEYS', 'START', 'METRICS', 2, 'CPU', 'NET');
  const session = panelOf('Hot keys by session');
  await seen(session.getByRole('table', { name: 'Hot keys: By network traffic' }).getByRole('link', { name: 'calm:1', exact: true }));
  await session.getByRole('table', { name: 'Hot keys: By processor time' }).getByRole('link', { name: 'busy:1', exact: true }).waitFor();
  await session.getByText('runs', { exact: true }).waitFor();
  await seen(panelOf('Hot keys').getByRole('link', { name: 'busy:1', exact: true }));
  await panelOf('Hot keys').getByText('until HOTKEYS RESET forgets it').waitFor();
  assert.deepEqual(await violations(page), []);
  await press('Stop', session);
  await session.getByText('has ended', { exact: true }).waitFor();
  for (const [width, colorScheme] of [[1400, 'light'], [768, 'dark'], [360, 'light']]) {
    await page.setViewportSize({ width, height: 800 });
    await page.emulateMedia({ colorScheme });
    await picture(page, `hot-session-${colorScheme}-${width}`);
  }
  await session.getByRole('table', { name: 'Hot keys: By processor time' }).getByRole('link', { name: 'busy:1', exact: true }).click();
  await page.getByRole('heading', { name: 'busy:1' }).waitFor();
  await page.goBack();
  await press('Forget', session);
  await press('Forget', page.getByRole('dialog'));
  await session.waitFor({ state: 'detached' });
  await seen(panelOf('Hot keys').getByRole('link', { name: 'busy:1', exact: true }));
});

test('what all prefixes take is drawn, however many there are', async () => {
  await console.run(Array.from({ length: 301 }, (_, at) => ['SET', `of${at}:1`, 'v'.repeat(700 - 2 * at)]));
  await press('Reload');
  const prefixes = panelOf('Memory by prefix');
  await prefixes.getByText(/^60 of 30\d prefixes/).waitFor();
  const map = page.getByRole('list', { name: 'Memory by prefix' });
  assert.equal(await map.getByRole('listitem').count(), 61);
  const others = map.locator('.tile-others .box');
  assert.match(await others.getAttribute('title'), /^24\d others: [\d.]+ KB, 24\d keys$/);
  assert.deepEqual(await violations(page), []);
  // A box shows its name, or six letters of it at least, or nothing.
  for (const width of [1400, 360]) {
    await page.setViewportSize({ width, height: 800 });
    const seen = await map.locator('strong').evaluateAll((all) => all.map((line) => {
      const [box, text] = [line.getBoundingClientRect(), line.firstChild.getBoundingClientRect()];
      return { name: line.textContent, isSeen: box.height > 0 && text.top < box.bottom && text.height > 0, fits: text.right <= box.right + 1 };
    }));
    assert.ok(seen.some(({ isSeen }) => isSeen));
    assert.ok(width > 360 || seen.some(({ isSeen }) => !isSeen));
    assert.deepEqual(seen.filter(({ isSeen, fits }) => isSeen && !fits), []);
    await picture(page, `hot-prefixes-${width}`);
  }
  // Of more than can be asked for nobody knows how much they are.
  await page.setViewportSize({ width: 1280, height: 900 });
  await console.run(Array.from({ length: 2000 }, (_, at) => ['SET', `many${at}:1`, 'v']));
  await press('Reload');
  await prefixes.getByText('60 of more than 2,000 prefixes, those that take most; the others are not drawn.').waitFor();
  assert.equal(await map.getByRole('listitem').count(), 60);
});

test('sizes are kept where somebody wants it', async () => {
  await console.call('SET', 'calm:1', 'v'.repeat(50_000));
  await console.call('CONFIG', 'SET', 'key-sizes', 'no');
  await console.call('CONFIG', 'RESETSTAT');
  await press('Reload');
  const largest = panelOf('Largest keys');
  await largest.getByText('key-sizes is off').waitFor();
  await panelOf('Memory by prefix').getByText('key-sizes is off').waitFor();
  assert.deepEqual(await violations(page), []);
  // To look at the view is no command that fails.
  assert.doesNotMatch(JSON.stringify(await console.call('INFO', 'errorstats')), /errorstat_/);
  await press('Keep sizes', largest);
  await until('the largest are shown', async () => {
    await press('Reload');
    return (await panelOf('Largest by memory').getByRole('link', { name: 'calm:1', exact: true }).count()) > 0;
  });
});
