import { stat } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { bundleGzipBytesMax, clientBundle, gzipBytes } from './bundle.ts'
import { checkPackage } from './check.ts'
import { packClient } from './stage.ts'

// `npm run package`: makes the package of the client library in .tmp/package, has publint and attw look at it, and says how large it is.
const packed = await packClient(fileURLToPath(new URL('../../.tmp/package', import.meta.url)))
console.log(await checkPackage(packed))
const size = (bytes: number): string => `${bytes.toLocaleString('en')} bytes`
console.log(`client.js compressed: ${size(gzipBytes(await clientBundle()))} of ${size(bundleGzipBytesMax)}`)
console.log(`${packed}: ${size((await stat(packed)).size)}`)
