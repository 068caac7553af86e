/** The console of a real server in a headless Chromium: Debian's, or the one that KVARTS_CHROMIUM names. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createRequire } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';

import { chromium } from 'playwright-core';

import { KvartsServer, until } from '../../node/lib/kvarts-server.js';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** A server with its console. `call(...words)` runs a command by way of the API. */
export class Console {
  static async start(...flags) {
    const console = new Console();
    const isSecure = flags.includes('--metrics-tls');
    console.port = 20_000 + Math.floor(Math.random() * 12_000);
    console.server = await KvartsServer.start('--metrics-port', console.port, ...(flags.includes('--save') ? [] : ['--save', '']), ...flags);
    console.url = `${isSecure ? 'https' : 'http'}://127.0.0.1:${console.port}`;
    // With it the authority is made at the start.
    if (isSecure) console.ca = await console.server.caCertificate();
    // The port of figures is opened behind the others.
    const isHealthy = () => console.ask('GET', '/healthz').then(({ status }) => status === 200, () => false);
    await until('the console answers', isHealthy);
    return console;
  }

  /** The answer to a request: its status and content. */
  ask(method, path, headers = {}, body = '') {
    return new Promise((resolve, reject) => {
      const { request } = this.ca ? https : http;
      const asked = request(this.url + path, { method, headers: { ...headers, 'Content-Length': Buffer.byteLength(body) }, ca: this.ca }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part) => { text += part; }).on('end', () => resolve({ status: answer.statusCode, text })).on('error', reject);
      });
      asked.on('error', reject).end(body);
    });
  }

  /** Runs commands as the default user, while it needs no password. */
  async run(commands, database = 0) {
    const { text } = await this.ask('POST', '/api/command', { 'X-Kvarts-Console': '1' }, JSON.stringify({ commands, database }));
    const { replies, error } = JSON.parse(text);
    if (error) throw new Error(error);
    return replies;
  }

  async call(...words) {
    return (await this.run([words]))[0];
  }

  async stop() {
    await this.server.stop();
  }
}

export async function launch() {
  const executablePath = process.env.KVARTS_CHROMIUM ?? '/usr/bin/chromium';
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
}

/** A page, of a server with a certificate of its own as well, that fails its test where a script fails, the policy is broken, or anything is asked of another host. */
export async function open(browser, url, options = {}, place = '') {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: 'reduce', ignoreHTTPSErrors: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(`script: ${error.message}`));
  page.on('console', (message) => {
    // A request that is refused is told by the browser, too.
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) page.problems.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith('data:')) page.problems.push(`asks ${request.url()}`);
  });
  await page.goto(url + place);
  return page;
}

/** What axe finds wrong with the page as it is now, in words. */
export async function violations(page) {
  // The policy forbids the page scripts from elsewhere, not the debugger.
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html.slice(0, 160)} ${node.failureSummary}`).join(' | ')}`);
}

/** How much of the page's content has moved by itself since it was opened, as browsers measure it. */
export function layoutShift(page) {
  return page.evaluate(() => new Promise((resolve) => {
    let sum = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
    setTimeout(() => resolve(sum), 300);
  }));
}

/** Whether the page is wider than its window. */
export function isTooWide(page) {
  return page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
}

/** Keeps a picture where KVARTS_SCREENSHOTS names a folder. */
export async function picture(page, name) {
  if (process.env.KVARTS_SCREENSHOTS) {
    await page.screenshot({ path: `${process.env.KVARTS_SCREENSHOTS}/${name}.png`, fullPage: true });
  }
}

export { delay, until };

/** Starts a server, prepares it, opens its console, and ends both; the page may have met no problem. */
export async function withConsole(browser, flags, work, prepare = () => {}) {
  const console = await Console.start(...flags);
  try {
    await prepare(console);
    const page = await open(browser, console.url);
    await work(console, page);
    assert.deepEqual(page.problems, []);
    await page.context().close();
  } finally {
    await console.stop();
  }
}
