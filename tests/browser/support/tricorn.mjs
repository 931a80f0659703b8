// The real binary: a cloud and a device with the built-in model.

import { spawn } from "node:child_process";
import { once } from "node:events";

export const TRICORN = process.env.TRICORN;

const READY = /ready on (http:\/\/127\.0\.0\.1:\d+)/;
const DEADLINE_MS = 60_000;

/** Starts a process and waits until it says where it listens. */
export async function start(...args) {
  const child = spawn(TRICORN, args, { stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit");
  const url = await new Promise((resolve, reject) => {
    let said = "";
    const timer = setTimeout(() => reject(new Error(`not ready in time: ${said}`)), DEADLINE_MS);
    const listen = (text) => {
      said += text;
      const ready = READY.exec(said);
      if (!ready) return;
      clearTimeout(timer);
      resolve(ready[1]);
    };
    child.stdout.on("data", listen);
    child.stderr.on("data", listen);
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`ended with ${code}: ${said}`)));
  });
  return {
    url,
    stop: async () => {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await exited;
      clearTimeout(timer);
    },
  };
}
