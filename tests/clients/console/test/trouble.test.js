/** The console of servers that refuse clients something, or are in other trouble: it says what, why, and what to do. */

import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { Console, delay, isTooWide, launch, layoutShift, open, picture, until, violations, withConsole } from '../lib/browser.js';
import { fill } from '../lib/data.js';

let browser;

before(async () => { browser = await launch(); });
after(async () => { await browser?.close(); });

const headline = (page) => page.locator('#state');
const panelOf = (page, title) => page.locator('.panel').filter({ has: page.getByRole('heading', { name: title, exact: true }) });

/** The headline, and on two views what is the matter; with pictures, wide and narrow, light and dark. */
async function says(console, page, title, reason, name) {
  await headline(page).getByText(title).waitFor();
  for (const view of ['overview', 'state']) {
    await page.goto(`${console.url}/#/${view}`);
    const told = page.getByRole('region', { name: 'What is the matter' });
    await told.getByRole('heading', { name: title }).waitFor();
    await told.getByText(reason).waitFor();
    assert.deepEqual(await violations(page), [], `${name} ${view}`);
    for (const [width, colorScheme] of [[1400, 'light'], [768, 'dark'], [360, 'light']]) {
      await page.setViewportSize({ width, height: 800 });
      await page.emulateMedia({ colorScheme });
      assert.equal(await isTooWide(page), false, `${name} ${view} ${width}`);
      await picture(page, `trouble-${name}-${view}-${colorScheme}-${width}`);
    }
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.emulateMedia({ colorScheme: null });
  }
}

/** Sends words of a client to the server itself, and keeps the connection. */
function client(console, ...lines) {
  const socket = net.connect(console.server.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.resume();
  socket.write(lines.map((line) => `${line}\r\n`).join(''));
  return socket;
}

test('a snapshot that cannot be written', async () => {
  await withConsole(browser, ['--save', '3600 1000000'], async (console, page) => {
    await page.getByText('Healthy').waitFor();
    await fill(console);
    // A folder is in the place of the file.
    const file = path.join(console.server.directory, 'dump.rdb');
    mkdirSync(path.join(file, 'full'), { recursive: true });
    await console.call('BGSAVE');
    await says(console, page, 'Writes are refused (MISCONF)', 'rdb_last_bgsave_status is err', 'snapshot');
    const persistence = panelOf(page, 'Persistence');
    await persistence.locator('dd.bad').getByText('err', { exact: true }).waitFor();
    await persistence.getByText('The last snapshot failed').waitFor();
    await page.goto(`${console.url}/#/overview`);
    for (let at = 0; at < 20; at += 1) assert.match((await console.call('SET', 'k', 'v')).error, /^MISCONF/);
    const errors = panelOf(page, 'Errors a second');
    await errors.getByText('MISCONF: writes are refused').waitFor();
    await errors.getByText(/MISCONF \d/).waitFor();
    await picture(page, 'trouble-errors');
    rmSync(file, { recursive: true });
    await console.call('BGSAVE');
    await headline(page).getByText('Healthy').waitFor();
    await page.getByText('Nothing is the matter').waitFor();
  });
});

test('memory that is full', async () => {
  await withConsole(browser, ['--maxmemory-policy', 'noeviction'], async (console, page) => {
    await fill(console);
    await console.call('CONFIG', 'SET', 'maxmemory', '1mb');
    await says(console, page, 'Writes are refused (OOM)', 'maxmemory-policy noeviction', 'memory');
    await console.call('CONFIG', 'SET', 'maxmemory', '0');
    await headline(page).getByText('Healthy').waitFor();
  });
});

test('a page that begins with trouble does not move', async () => {
  await withConsole(browser, ['--maxmemory-policy', 'noeviction', '--busy-reply-threshold', '100000'], async (console, page) => {
    await fill(console);
    await console.call('CONFIG', 'SET', 'maxmemory', '1mb');
    await headline(page).getByText('OOM').waitFor();
    client(console, 'EVAL "while true do end" 1 k');
    await page.getByRole('heading', { name: /^eval has held its locks for / }).waitFor();
    for (const [view, width] of [['overview', 1280], ['state', 1280], ['overview', 360], ['state', 360]]) {
      const fresh = await open(browser, console.url, { viewport: { width, height: 900 } }, `/#/${view}`);
      await fresh.getByRole('heading', { name: /^eval has held its locks for / }).waitFor();
      await delay(1500);
      const shift = await layoutShift(fresh);
      assert.ok(shift < 0.02, `${view} moved by ${shift}, ${width} wide`);
      await fresh.context().close();
    }
    await console.call('SCRIPT', 'KILL');
  });
});

test('places that are all taken', async () => {
  await withConsole(browser, ['--maxclients', '2'], async (console, page) => {
    const clients = [client(console, 'PING'), client(console, 'PING')];
    await says(console, page, 'Connections are refused (maxclients)', '2 clients are connected', 'clients');
    clients.forEach((one) => one.destroy());
    await headline(page).getByText('Healthy').waitFor();
  });
});

test('a primary that is lost, and replicas that are missing', async () => {
  const primary = await Console.start('--repl-diskless-sync-delay', '0');
  let isUp = true;
  try {
    await withConsole(browser, ['--replicaof', `127.0.0.1 ${primary.server.port}`, '--min-replicas-to-write', '1'], async (console, page) => {
      await page.getByText('Healthy replica').waitFor();
      await page.getByText('This is a replica: it refuses writes').waitFor();
      await primary.stop();
      isUp = false;
      await says(console, page, 'Writes are refused (READONLY)', 'the data here grow old', 'primary');
      await panelOf(page, 'Replication').locator('dd.bad').getByText('down', { exact: true }).waitFor();
      await console.call('REPLICAOF', 'NO', 'ONE');
      await says(console, page, 'Writes are refused (NOREPLICAS)', '0 replicas follow', 'replicas');
    });
  } finally {
    if (isUp) await primary.stop();
  }
});

test('a replica that says nothing', async () => {
  await withConsole(browser, ['--repl-diskless-sync-delay', '0', '--enable-debug-command', 'yes'], async (console, page) => {
    const replica = await Console.start('--replicaof', `127.0.0.1 ${console.server.port}`);
    const isOnline = async () => {
      const told = await console.call('INFO', 'replication');
      return /slave\d+:.*state=online,offset=[1-9].*type=replica/.test(told.text ?? told);
    };
    await until('it follows', isOnline);
    replica.server.process.kill('SIGSTOP');
    try {
      await console.call('KVARTS', 'CLOCK', 'ADVANCE', 20_000);
      await says(console, page, 'A replica does not answer', '1 of 1 replicas were not heard of', 'silent-replica');
      const replication = panelOf(page, 'Replication');
      await replication.locator('td .bad').getByText(/ ago$/).waitFor();
      await replication.getByText('loses what is written now').waitFor();
    } finally {
      replica.server.process.kill('SIGCONT');
      await replica.stop();
    }
  });
});

test('a pause', async () => {
  await withConsole(browser, [], async (console, page) => {
    await console.call('CLIENT', 'PAUSE', 600_000, 'WRITE');
    await says(console, page, 'Writes wait (pause)', 'CLIENT PAUSE holds requests up', 'pause');
    await console.call('CLIENT', 'UNPAUSE');
    await headline(page).getByText('Healthy').waitFor();
  });
});

test('a script that has its locks for long', async () => {
  await withConsole(browser, [], async (console, page) => {
    await page.getByText('Nothing is the matter').waitFor();
    const script = client(console, 'EVAL "while true do end" 1 "on key for client 7 at x, user y"');
    await page.getByRole('heading', { name: /^eval has held its locks for / }).waitFor();
    assert.equal(await page.getByText('Nothing is the matter').count(), 0);
    for (const [view, width, colorScheme] of [['overview', 1400, 'light'], ['state', 1400, 'light'], ['overview', 360, 'dark'], ['state', 360, 'dark'], ['state', 360, 'light'], ['state', 1400, 'dark']]) {
      await page.setViewportSize({ width, height: 800 });
      await page.emulateMedia({ colorScheme });
      await page.goto(`${console.url}/#/${view}`);
      await page.getByRole('region', { name: 'What is the matter' }).getByText('It keeps its locks meanwhile').waitFor();
      if (view === 'state') await panelOf(page, 'What is in the way').getByText('on key for client 7 at x, user y', { exact: true }).waitFor();
      assert.deepEqual(await violations(page), [], view);
      assert.equal(await isTooWide(page), false, `${view} ${width}`);
      if (view === 'state') {
        const { x, width: wide } = await panelOf(page, 'What is in the way').getByRole('button', { name: /^End the script/ }).boundingBox();
        assert.ok(x >= 0 && x + wide <= width, `it is from ${x} to ${x + wide} of ${width}`);
      }
      await picture(page, `trouble-locks-${view}-${colorScheme}-${width}`);
    }
    const holding = panelOf(page, 'What is in the way');
    await holding.getByText(`127.0.0.1:${script.localPort}`).waitFor();
    await holding.getByRole('button', { name: /^End the script/ }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'End' }).click();
    await holding.waitFor({ state: 'detached' });
    assert.equal(script.closed, false);
    // It is shown as well while it has all keys, and INFO waits for it.
    client(console, 'EVAL "redis.call(\'GET\', \'a\') while true do end" 0');
    const kill = holding.getByRole('button', { name: /^Kill client/ });
    await kill.click();
    await page.getByRole('dialog').getByRole('button', { name: 'Kill' }).click();
    await page.getByText('Done.').first().waitFor();
    await console.call('SCRIPT', 'KILL');
    await holding.waitFor({ state: 'detached' });
    await page.goto(`${console.url}/#/overview`);
    await page.getByText('Nothing is the matter').waitFor();
    // Who only reads ends nothing.
    await page.getByLabel('Read only').check();
    client(console, 'EVAL "while true do end" 1 k');
    await page.goto(`${console.url}/#/state`);
    await holding.waitFor();
    assert.equal(await holding.getByRole('button').count(), 0);
    await console.call('SCRIPT', 'KILL');
  });
});

test('a script for which all others hear BUSY', async () => {
  await withConsole(browser, ['--busy-reply-threshold', '1000'], async (console, page) => {
    await fill(console);
    await page.goto(`${console.url}/#/state`);
    await page.getByText('Healthy').waitFor();
    // It declares no key, and has all of them.
    client(console, 'EVAL "redis.call(\'GET\', \'a\') while true do end" 0');
    await headline(page).getByText('Commands are refused (BUSY)').waitFor();
    const holding = panelOf(page, 'What is in the way');
    await holding.getByRole('button', { name: /^End the script/ }).waitFor();
    // Others hear BUSY for CLIENT KILL, which needs no key; the console does not.
    await holding.getByRole('button', { name: /^Kill client/ }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Kill' }).click();
    await page.getByText('Done.').first().waitFor();
    // Keys are counted all the while.
    await page.goto(`${console.url}/#/overview`);
    const operations = page.locator('.chart').filter({ has: page.getByRole('heading', { name: 'Operations a second', exact: true }) });
    await until('keys are counted', async () => /^[1-9][\d ,.]* keys$/.test(await operations.locator('.more').innerText()));
    await page.goto(`${console.url}/#/state`);
    await holding.getByRole('button', { name: /^End the script/ }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'End' }).click();
    await holding.waitFor({ state: 'detached' });
  });
});

test('a server that is gone', async () => {
  await withConsole(browser, [], async (console, page) => {
    await page.getByText('Healthy').waitFor();
    console.server.process.kill('SIGSTOP');
    try {
      // It accepts, and answers nothing; what was said last may not be said on.
      await page.context().setOffline(true);
      await headline(page).getByText('The server does not answer.').waitFor();
      await page.getByRole('region', { name: 'What is the matter' }).getByText('as it was when it last did').waitFor();
    } finally {
      console.server.process.kill('SIGCONT');
      await page.context().setOffline(false);
    }
    await headline(page).getByText('Healthy').waitFor();
    page.problems.length = 0;
  });
});
