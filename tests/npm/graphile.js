// The same no-op jobs on graphile-worker: DATABASE JOBS PUTTERS WORKERS. Prints {"per_second"} from the first put to
// the last end; every put is a transaction of its own.
const { makeWorkerUtils, run, Logger } = require('graphile-worker')
const { Pool } = require('pg')

const [database, jobs, putters, workers] = [process.argv[2], ...process.argv.slice(3).map(Number)]
const logger = new Logger(() => () => {})

async function main () {
  const pool = new Pool({ connectionString: database, max: putters + workers + 4 })
  pool.on('error', () => {})
  const utils = await makeWorkerUtils({ pgPool: pool, logger })
  await utils.migrate()
  let done = 0
  let over
  const all = new Promise((resolve) => { over = resolve })
  const runner = await run({
    pgPool: pool,
    logger,
    noHandleSignals: true,
    concurrency: workers,
    pollInterval: 1000,
    taskList: { noop: async () => { if (++done === jobs) over() } }
  })
  const began = process.hrtime.bigint()
  let put = 0
  await Promise.all(Array.from({ length: putters }, async () => {
    while (put < jobs) await utils.addJob('noop', { n: put++ })
  }))
  await all
  const seconds = Number(process.hrtime.bigint() - began) / 1e9
  process.stdout.write(JSON.stringify({ per_second: jobs / seconds }) + '\n')
  await runner.stop()
  await utils.release()
  await pool.end()
}
main().then(() => process.exit(0), (e) => { console.error(e); process.exit(1) })
