/** Access tokens, made by the binary itself, and spoilt here. */
import { execFileSync } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BINARY } from './server.mjs';

export class Tokens {
  #secret = randomBytes(32);
  /** A file of settings for the server that takes these tokens. */
  config = join(mkdtempSync(join(tmpdir(), 'ninefold-')), 'ninefold.toml');

  constructor() {
    writeFileSync(this.config, `[auth]\nkeys = ["test:HS256:${this.#secret.toString('base64')}"]\n`, { mode: 0o600 });
  }

  mint(room, name, { moderate = false, publish } = {}) {
    const args = ['token', '--config', this.config, '--room', room, '--identity', name.toLowerCase(), '--name', name];
    if (moderate) args.push('--moderate');
    if (publish) args.push('--publish', publish.join(','));
    return execFileSync(BINARY, args, { encoding: 'utf8' }).trim().split(/\s+/).at(-1);
  }

  /** The same with other claims, rightly signed. */
  change(token, claims) {
    const [header, payload] = token.split('.');
    const changed = { ...JSON.parse(Buffer.from(payload, 'base64url')), ...claims };
    const text = `${header}.${Buffer.from(JSON.stringify(changed)).toString('base64url')}`;
    return `${text}.${createHmac('sha256', this.#secret).update(text).digest('base64url')}`;
  }
}
