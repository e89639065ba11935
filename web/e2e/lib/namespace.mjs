/**
 * A network of its own, with addresses that are not loopback: Firefox connects media to nothing else.
 *
 *     namespace:  lo 127.0.0.1 (pages)     nf0 192.0.2.1 ─── nf1 192.0.2.2 (media)
 *
 * Needs root and a kernel that allows it; `create` gives the reason where it does not.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';

export class Namespace {
  #name;

  /** The namespace, or why there is none. */
  static create() {
    if (process.platform !== 'linux') return { reason: 'network namespaces are a thing of Linux' };
    const namespace = new Namespace();
    namespace.#name = `ninefold-${process.pid}-${Date.now().toString(36)}`;
    try {
      ip('netns', 'add', namespace.#name);
    } catch (error) {
      return { reason: `no network namespace can be made here: ${reasonOf(error)}` };
    }
    try {
      namespace.#furnish();
      return { namespace };
    } catch (error) {
      namespace.delete();
      return { reason: `no interfaces can be made in a network namespace here: ${reasonOf(error)}` };
    }
  }

  #furnish() {
    const inside = (...args) => ip('-n', this.#name, ...args);
    inside('link', 'set', 'lo', 'up');
    inside('link', 'add', 'nf0', 'type', 'veth', 'peer', 'name', 'nf1');
    inside('address', 'add', '192.0.2.1/24', 'dev', 'nf0');
    inside('address', 'add', '192.0.2.2/24', 'dev', 'nf1');
    inside('link', 'set', 'nf0', 'up');
    inside('link', 'set', 'nf1', 'up');
    inside('route', 'add', 'default', 'dev', 'nf0');
  }

  /** Runs a program inside; gives its exit code. */
  async run(program, args, env) {
    const child = spawn('ip', ['netns', 'exec', this.#name, program, ...args], { env, stdio: ['ignore', 'inherit', 'inherit'] });
    const [code, signal] = await once(child, 'exit');
    return code ?? signal;
  }

  delete() {
    ip('netns', 'delete', this.#name);
  }
}

function ip(...args) {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function reasonOf(error) {
  return error.code === 'ENOENT' ? 'the program `ip` is missing' : String(error.stderr ?? error.message).trim();
}
