/** The programs of README's section on TLS, run as they stand there but for the port. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { KvartsServer } from '../lib/kvarts-server.js';

const run = promisify(execFile);
const here = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);
const page = readFileSync(path.join(here, '../../../../README.md'), 'utf8');

/** The block of JavaScript below a client's name. */
function program(client) {
  const [, below] = page.split(`\n**${client}**\n\n\`\`\`js\n`);
  assert.ok(below, `README has a program for ${client}`);
  return below.split('\n```\n')[0];
}

for (const flags of [['--cluster-enabled', 'yes'], ['--profile', 'elasticache-serverless']]) {
  describe(`programs of README: ${flags.join(' ')}`, () => {
    for (const client of ['ioredis', 'node-redis']) {
      test(client, async () => {
        const server = await KvartsServer.start(...flags);
        // Where packages are found, and a folder as the reader's.
        const programs = path.join(here, '../node_modules/.readme');
        const folder = mkdtempSync(path.join(tmpdir(), 'kvarts-readme-'));
        try {
          mkdirSync(programs, { recursive: true });
          const file = path.join(programs, `${client}-${process.pid}.mjs`);
          writeFileSync(file, program(client).replaceAll('6379', String(server.port)));
          await run(process.env.KVARTS_BIN, ['tls', 'export', '--server-dir', server.directory, '--dir', 'certs'], { cwd: folder });
          const { stdout } = await run(process.execPath, [file], { cwd: folder, timeout: 30_000 });
          assert.equal(stdout, 'ada\n');
        } finally {
          rmSync(programs, { recursive: true });
          rmSync(folder, { recursive: true });
          await server.stop();
        }
      });
    }
  });
}
