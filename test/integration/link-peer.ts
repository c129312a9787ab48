import { testPeers } from '#node/network/test-peers'

// A process with one peer and nothing else, for tests that kill it. Prints its address.
const peer = await testPeers().start()
process.send?.(peer.address)
