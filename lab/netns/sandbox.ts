import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { readlinkSync } from 'node:fs'

/**
 * A network, a mount and a process namespace of its own. The network of the machine is not touched, and whatever way the
 * command ends, all of it is gone: namespaces, links, peers.
 */
const sandbox = ['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
// `ip` keeps namespaces by name in /run: ours are nobody else's business, and go when our mounts do.
const ownRun = ['sh', '-c', 'mount -t tmpfs none /run && exec "$@"', 'sh']

/** What is asked of the machine, tried in a namespace that is gone at once. */
const needs = [
  { what: 'root, and namespaces (unshare)', command: 'true' },
  { what: 'bridges (ip, of iproute2)', command: 'ip link add probe type bridge' },
  { what: 'pairs of interfaces (ip, of iproute2)', command: 'ip link add probe type veth peer name eborp' },
  { what: 'a packet filter (iptables)', command: 'iptables --append INPUT --source 10.77.0.1 --jump DROP' },
]

/** What this machine lacks for a sandbox, in words; undefined if it has it all. */
export function lacksForSandbox(): string | undefined {
  if (process.platform !== 'linux') return 'Linux'
  const [program = '', ...args] = sandbox
  for (const { what, command } of needs) {
    try {
      execFileSync(program, [...args, ...command.split(' ')], { stdio: ['ignore', 'ignore', 'pipe'] })
    } catch (error) {
      return `${what}: ${String((error as { stderr?: Buffer }).stderr ?? error).trim()}`
    }
  }
  return undefined
}

/** Runs the command in a sandbox, where `isApart` is true. A signal that asks us to end ends all that is in there. */
export function spawnApart(command: readonly string[]): ChildProcess {
  const [program = '', ...args] = [...sandbox, ...ownRun, ...command]
  const env = { ...process.env, GRAPEVINE_NETNS_OUTSIDE: readlinkSync('/proc/self/ns/net') }
  const child = spawn(program, args, { stdio: 'inherit', env })
  // The first process of a namespace ignores signals from the keyboard; killing `unshare` ends all that is in there.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => child.kill('SIGKILL'))
  return child
}
