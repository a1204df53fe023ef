/** A real etcd answers as the code (and the simulated one) takes it to. */
import process from "node:process";
import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { etcdSuite, type EtcdUnderTest, type Json } from "../suites/etcd_suite.ts";
import { startEtcd, withoutEtcd } from "../tool/etcd.ts";

const etcd = await startEtcd();
after(() => etcd?.stop());

async function open(): Promise<EtcdUnderTest | null> {
  if (etcd === null) {
    withoutEtcd((text) => process.stdout.write(`${text}\n`));
    return null;
  }
  return {
    async call(path, body) {
      const response = await fetch(etcd.url + path, { method: "POST", body: JSON.stringify(body) });
      const text = await response.text();
      return { status: response.status, body: text.startsWith("{") ? JSON.parse(text) as Json : {} };
    },
    async until(condition, what, limitMs) {
      const end = performance.now() + limitMs;
      while (!await condition()) {
        if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
        await sleep(50);
      }
    },
    async close() {},
  };
}

etcdSuite("real etcd", open);
