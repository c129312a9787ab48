/** How much a peer says in its log: each level says all of those after it, too. */
export const logLevels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]
