import pino from 'pino'
import type { LogLevel } from '#protocol/log-level'

/** Events with fields (STYLE): `log.info('member changed', { peer, to })`. docs/operations.md lists them. */
export interface Log {
  readonly debug: (event: string, fields: Readonly<Record<string, unknown>>) => void
  readonly info: (event: string, fields: Readonly<Record<string, unknown>>) => void
  readonly warn: (event: string, fields: Readonly<Record<string, unknown>>) => void
  readonly error: (event: string, fields: Readonly<Record<string, unknown>>) => void
}

export interface LeveledLog extends Log {
  /** From which level on events are said. May be changed at any time. */
  level: LogLevel
}

/** JSON lines on stderr: stdout belongs to the one line that says where the peer listens. */
export function createLog(name: string, level: LogLevel): LeveledLog {
  const options: pino.LoggerOptions = {
    base: { self: name },
    level,
    messageKey: 'event',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  }
  const logger = pino(options, pino.destination({ fd: 2 }))
  return {
    debug: (event, fields) => logger.debug(fields, event),
    info: (event, fields) => logger.info(fields, event),
    warn: (event, fields) => logger.warn(fields, event),
    error: (event, fields) => logger.error(fields, event),
    get level() {
      return logger.level as LogLevel
    },
    set level(level) {
      logger.level = level
    },
  }
}
