/**
 * Networks of their own, with addresses that are not loopback: Firefox connects media to nothing else.
 *
 *     create        one namespace:   lo 127.0.0.1 (pages)     nf0 192.0.2.1 ─── nf1 192.0.2.2 (media)
 *     createPair    two of them:     nf0 192.0.2.1 (a server) ─────────────── nf0 192.0.2.2 (a phone)
 *                   or with IPv6 only:   2001:db8::1 ──────────────────────────── 2001:db8::2
 *     createStar    three:           nf0 192.0.2.1, nf1 198.51.100.1 (a server) ── 192.0.2.2, 198.51.100.2 (two networks that do not know each other)
 *
 * Needs root and a kernel that allows it; both give the reason where it does not.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let made = 0;

export class Namespace {
  #name = `ninefold-${process.pid}-${Date.now().toString(36)}-${made++}`;

  /** The namespace, or why there is none. */
  static create() {
    const { namespaces, reason } = furnish(1, ([name]) => {
      ip('-n', name, 'link', 'add', 'nf0', 'type', 'veth', 'peer', 'name', 'nf1');
      plug(name, 'nf0', '192.0.2.1/24');
      plug(name, 'nf1', '192.0.2.2/24');
      ip('-n', name, 'route', 'add', 'default', 'dev', 'nf0');
    });
    return { namespace: namespaces?.[0], reason };
  }

  /** Two namespaces with a cable between them, or why there are none. With `v6` they know no IPv4 but on loopback. */
  static createPair({ v6 = false } = {}) {
    const addresses = v6 ? ['2001:db8::1/64', '2001:db8::2/64'] : ['192.0.2.1/24', '192.0.2.2/24'];
    const { namespaces, reason } = furnish(2, (names) => {
      ip('-n', names[0], 'link', 'add', 'nf0', 'type', 'veth', 'peer', 'name', 'nf0', 'netns', names[1]);
      names.forEach((name, i) => plug(name, 'nf0', addresses[i]));
    });
    return { pair: namespaces, reason };
  }

  /** A namespace with two networks, and one in each of them; or why there are none. */
  static createStar() {
    const { namespaces, reason } = furnish(3, (names) => {
      for (const [i, network] of ['192.0.2', '198.51.100'].entries()) {
        ip('-n', names[0], 'link', 'add', `nf${i}`, 'type', 'veth', 'peer', 'name', 'nf0', 'netns', names[i + 1]);
        plug(names[0], `nf${i}`, `${network}.1/24`);
        plug(names[i + 1], 'nf0', `${network}.2/24`);
      }
    });
    return { star: namespaces, reason };
  }

  get name() {
    return this.#name;
  }

  /** What to run in place of a program, so that it runs inside. */
  command(program, args) {
    return ['ip', ['netns', 'exec', this.#name, program, ...args]];
  }

  /** The same as a file, for those who take the path of a program only. */
  executable(program) {
    const path = join(mkdtempSync(join(tmpdir(), 'ninefold-')), 'inside');
    writeFileSync(path, `#!/bin/sh\nexec ip netns exec '${this.#name}' '${program}' "$@"\n`, { mode: 0o700 });
    return path;
  }

  /** Runs a program inside; gives its exit code. */
  async run(program, args, env) {
    const child = spawn(...this.command(program, args), { env, stdio: ['ignore', 'inherit', 'inherit'] });
    const [code, signal] = await once(child, 'exit');
    return code ?? signal;
  }

  delete() {
    ip('netns', 'delete', this.#name);
  }
}

/** So many namespaces, wired by `wire`; or why there are none. */
function furnish(count, wire) {
  if (process.platform !== 'linux') return { reason: 'network namespaces are a thing of Linux' };
  const namespaces = [];
  try {
    while (namespaces.length < count) {
      const namespace = new Namespace();
      ip('netns', 'add', namespace.name);
      namespaces.push(namespace);
      ip('-n', namespace.name, 'link', 'set', 'lo', 'up');
    }
    wire(namespaces.map(({ name }) => name));
    return { namespaces };
  } catch (error) {
    for (const namespace of namespaces) namespace.delete();
    return { reason: `no network namespace can be made here: ${reasonOf(error)}` };
  }
}

function plug(name, device, address) {
  // An IPv6 address that comes up a second later is a change of network for browsers, which gives up what they are loading.
  ip('-n', name, 'link', 'set', device, 'addrgenmode', 'none');
  // Nobody else is there who could have the address, so nobody is asked.
  ip('-n', name, 'address', 'add', address, 'dev', device, ...(address.includes(':') ? ['nodad'] : []));
  ip('-n', name, 'link', 'set', device, 'up');
}

function ip(...args) {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function reasonOf(error) {
  return error.code === 'ENOENT' ? 'the program `ip` is missing' : String(error.stderr ?? error.message).trim();
}
