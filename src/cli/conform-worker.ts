/** A worker of `cbpf conform`: takes a job, sends progress, and at the end what it found. */
import { parentPort, workerData } from "node:worker_threads";
import { type Job, runJob } from "./conform-job.ts";

// not awaited: dist/bin is CommonJS
void runJob(workerData as Job, (progress) => parentPort!.postMessage({ progress })).then((result) =>
  parentPort!.postMessage({ result }),
);
