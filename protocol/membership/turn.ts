import type { PeerId } from '#protocol/ids'
import type { Millis } from '#protocol/machine'
import type { MemberState, MembershipMessage, RegistryStatus } from './messages.ts'
import type { RegistryEdit, RegistryRefusal } from './registry-edit.ts'
import type { RegistryEntry } from './registry.ts'

/** Whom to dial: a seed (`host:port`, peer id unknown) or a member at every address ever learned of it, newest first. */
export type DialTarget =
  | { readonly type: 'seed'; readonly address: string }
  | { readonly type: 'member'; readonly peer: PeerId; readonly addresses: readonly string[] }

/** A dial target by name. */
export type Dialed =
  | { readonly type: 'seed'; readonly address: string }
  | { readonly type: 'member'; readonly peer: PeerId }

export type MembershipInput =
  | { readonly type: 'started' }
  | { readonly type: 'linkUp'; readonly peer: PeerId }
  | {
      readonly type: 'linkDown'
      readonly peer: PeerId
      readonly cause: 'closed' | 'broken'
      readonly reason: string
    }
  /** Any frame of that peer, of whatever machine. `messageReceived` implies it. */
  | { readonly type: 'trafficReceived'; readonly peer: PeerId }
  /** Something else than membership goes over the link with that peer. */
  | { readonly type: 'linkUsed'; readonly peer: PeerId }
  /** With whom links are needed from now on, by others than membership: those are not closed, and dialed where there is none. */
  | { readonly type: 'linksNeeded'; readonly peers: ReadonlySet<PeerId> }
  | { readonly type: 'messageReceived'; readonly from: PeerId; readonly message: MembershipMessage }
  /** `there`: who is at the other end, if that is why: ourselves, or a peer that we have a link to already. */
  | {
      readonly type: 'dialFailed'
      readonly target: DialTarget
      readonly reason: string
      readonly there?: PeerId | undefined
    }
  | { readonly type: 'timerFired'; readonly timer: MembershipTimer }
  | { readonly type: 'leaveRequested' }
  /** An operator decides whether a peer belongs; answered with `registrySettled` or `registryRefused`. */
  | { readonly type: 'registryEdited'; readonly ref: number; readonly edit: RegistryEdit }
  /** Others hold all that we hold: if we are leaving, we are done. */
  | { readonly type: 'handedOver' }

export type MembershipEffect =
  /** Only to peers with a link. */
  | { readonly type: 'send'; readonly to: PeerId; readonly message: MembershipMessage }
  | { readonly type: 'dial'; readonly target: DialTarget }
  | { readonly type: 'closeLink'; readonly peer: PeerId; readonly reason: string }
  | { readonly type: 'setTimer'; readonly timer: MembershipTimer; readonly afterMs: Millis }
  | { readonly type: 'persistRegistry'; readonly entries: readonly RegistryEntry[] }
  /** What it is now, changed or not. Whatever has changed is told by a `persistRegistry` of the same turn. */
  | { readonly type: 'registrySettled'; readonly ref: number; readonly status: RegistryStatus }
  | ({ readonly type: 'registryRefused'; readonly ref: number } & RegistryRefusal)
  /** A fact: whether a peer, ourselves maybe, belongs has changed. */
  | { readonly type: 'statusChanged'; readonly peer: PeerId; readonly status: RegistryStatus; readonly why: StatusWhy }
  /** A fact: another process with our identity lives, at these addresses as it says. Told once per minute at most. */
  | { readonly type: 'doubleNoticed'; readonly addresses: readonly string[] }
  /** A fact: what we believe of a member changed. `unknown` = it has just joined our registry. */
  | {
      readonly type: 'memberChanged'
      readonly peer: PeerId
      readonly from: MemberState | 'unknown'
      readonly to: MemberState
      readonly incarnation: number
      readonly by: PeerId
      readonly reason: string
    }

/** `handedOver`: it is ourselves, and our decommission is over. */
export type StatusWhy = 'decided here' | 'heard' | 'handedOver'

/** Every timer carries when it was due, so that one that fires late tells of a blocked event loop. */
export type MembershipTimer = { readonly dueMs: Millis } & TimerCause

type TimerCause =
  | { readonly type: 'probeRound' }
  | { readonly type: 'directProbeOverdue'; readonly ref: number }
  | { readonly type: 'probeOverdue'; readonly ref: number }
  | { readonly type: 'relayOverdue'; readonly ref: number }
  | { readonly type: 'suspicionExpired'; readonly peer: PeerId; readonly incarnation: number }
  | { readonly type: 'lastWordOver'; readonly peer: PeerId; readonly incarnation: number }
  | { readonly type: 'linkSilent'; readonly peer: PeerId }
  | { readonly type: 'gossip' }
  | { readonly type: 'pushPull' }
  | { readonly type: 'redial'; readonly target: Dialed }

/** One call of `handle()`: when it happens, and the effects it has ordered so far. */
export class Turn {
  readonly nowMs: Millis
  readonly effects: MembershipEffect[] = []

  constructor(nowMs: Millis) {
    this.nowMs = nowMs
  }

  order(effect: MembershipEffect): void {
    this.effects.push(effect)
  }

  send(to: PeerId, message: MembershipMessage): void {
    this.effects.push({ type: 'send', to, message })
  }

  setTimer(cause: TimerCause, afterMs: Millis): void {
    this.effects.push({ type: 'setTimer', timer: { ...cause, dueMs: this.nowMs + afterMs }, afterMs })
  }
}
