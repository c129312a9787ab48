/** A host that is this machine alone. Names other than `localhost` may resolve to anything. In small letters. */
export const isLoopback = (host: string): boolean => /^(localhost|127(\.\d{1,3}){3}|::1)$/.test(host)
