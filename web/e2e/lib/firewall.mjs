/** Networks that let no UDP through, by nftables. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const TABLE = ['inet', 'ninefold'];
const RULES = `table inet ninefold {
  chain in { type filter hook input priority 0; meta l4proto udp drop; }
  chain out { type filter hook output priority 0; meta l4proto udp drop; }
}`;

/** Drops all UDP without a word, in `namespace` or where this runs. */
export function blockUdp(namespace) {
  return nft(namespace, RULES);
}

/** As it was before. */
export function unblockUdp(namespace) {
  return nft(namespace, 'delete', 'table', ...TABLE);
}

function nft(namespace, ...words) {
  const [program, args] = namespace ? namespace.command('nft', words) : ['nft', words];
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  return run(program, args, { env: { ...process.env, PATH: path } });
}
