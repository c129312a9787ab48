import type { Bodies } from './body.ts'
import type { Broker } from './broker.ts'
import type { GatewayConfig } from './config.ts'
import type { Intake } from './intake/intake.ts'
import type { LiveReads } from './live-reads.ts'
import type { Origins } from './origins.ts'
import type { Problems } from './problem.ts'

/** What the routes share. */
export interface RouteDeps {
  readonly broker: Broker
  readonly config: GatewayConfig
  readonly bodies: Bodies
  readonly liveReads: LiveReads
  readonly problems: Problems
  /** Whose pages may come. Others were refused before. */
  readonly origins: Origins
  /** True once this peer accepts no more work: its gateway or its broker drains. */
  readonly draining: () => boolean
  /** The server's; there is none where the API is a function only. */
  readonly intake?: Intake
}
