import packageJson from '../package.json' with { type: 'json' }

/** Of this package, as `/version` and `--version` tell it. */
export const { version } = packageJson
