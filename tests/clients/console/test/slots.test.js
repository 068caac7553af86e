/** How keys are spread over the slots: that many of them share one is said, alone and in cluster mode. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { isTooWide, launch, picture, violations, withConsole } from '../lib/browser.js';

let browser;

before(async () => { browser = await launch(); });
after(async () => { await browser?.close(); });

const set = (count, name) => Array.from({ length: count }, (_, at) => ['SET', name(at), 'v']);
const ADVICE = 'use more tags';

for (const [mode, flags] of [['alone', []], ['in a cluster', ['--cluster-enabled', 'yes']]]) {
  test(`one hash tag of too many keys, ${mode}`, async () => {
    await withConsole(browser, flags, async (console, page) => {
      const seen = async (text) => {
        await page.goto('about:blank');
        await page.goto(`${console.url}/#/slots`);
        await page.getByText(text).first().waitFor();
        return page.getByText(ADVICE).count();
      };
      // Of few keys nothing follows.
      await console.run(set(5000, (at) => `{one}:${at}`));
      assert.equal(await seen('5,000'), 0);
      await console.run(set(5000, (at) => `{one}:${5000 + at}`));
      assert.equal(await seen('10,000'), 1);
      await page.getByText(/100 % of all/).waitFor();
      assert.deepEqual(await violations(page), []);
      for (const width of [1280, 360]) {
        await page.setViewportSize({ width, height: 800 });
        assert.equal(await isTooWide(page), false);
        await picture(page, `slots-crowded-${mode.replaceAll(' ', '-')}-${width}`);
      }
      // Less than a tenth of all is well.
      await console.run(['FLUSHALL', 'PING'].map((word) => [word]));
      await console.run(set(900, (at) => `{one}:${at}`));
      for (let part = 0; part < 3; part += 1) await console.run(set(3100, (at) => `key:${part}:${at}`));
      assert.equal(await seen('10,200'), 0);
    });
  });
}
