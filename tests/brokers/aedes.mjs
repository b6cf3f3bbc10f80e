// aedes as a program: node aedes.mjs FOLDER-WITH-NODE_MODULES PORT [TLS-PORT KEY CERTIFICATE CA].
// It keeps retained messages in memory.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'

const [folder, port, tlsPort, key, cert, ca] = process.argv.slice(2)
const { Aedes } = createRequire(`${folder}/`)('aedes')
const broker = await Aedes.createBroker()
if (tlsPort) {
  const files = { key: readFileSync(key), cert: readFileSync(cert), ca: readFileSync(ca), requestCert: true }
  createTlsServer(files, broker.handle).listen(Number(tlsPort), '127.0.0.1')
}
createServer(broker.handle).listen(Number(port), '127.0.0.1')
