import pino from 'pino'

/** Events with fields (STYLE): `log.info('member changed', { peer, to })`. */
export interface Log {
  readonly info: (event: string, fields: Readonly<Record<string, unknown>>) => void
  readonly warn: (event: string, fields: Readonly<Record<string, unknown>>) => void
  readonly error: (event: string, fields: Readonly<Record<string, unknown>>) => void
}

/** JSON lines on stderr: stdout belongs to the one line that says where the peer listens. */
export function createLog(name: string): Log {
  const logger = pino({ base: { self: name }, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 2 }))
  return {
    info: (event, fields) => logger.info(fields, event),
    warn: (event, fields) => logger.warn(fields, event),
    error: (event, fields) => logger.error(fields, event),
  }
}
