/** When the bundle of a new database is switched on, and when that has to wait. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { silentLogger } from "../../src/base/logger.ts";
import type { ActivationParts } from "../../src/node/activate_bundle.ts";
import { activateBundles, activateByTheSettings } from "../../src/node/activate_bundle.ts";
import { defaultSettings } from "../../src/node/settings.ts";
import { ManualClock } from "../tool/manual_clock.ts";

class Rig {
  readonly clock = new ManualClock();
  kind: "none" | "follower" = "none";
  /** Thrown by every submit. */
  refusal: DfdbError | null = null;
  active = false;
  submits = 0;
  told = 0;

  readonly parts = {
    storage: { read: () => this.active },
    engine: {
      submit: () => {
        this.submits++;
        if (this.refusal !== null) return Promise.reject(this.refusal);
        this.active = true;
        return Promise.resolve();
      },
    },
    role: {
      readOnly: { on: false, reason: null },
    },
    masters: { activated: () => void this.told++ },
    runtime: { clock: this.clock },
    settings: { ...defaultSettings(), leaderStartMs: 1_000, replicationBundle: true },
  } as unknown as ActivationParts & { settings: ReturnType<typeof defaultSettings> };

  constructor() {
    Object.defineProperty(this.parts.role, "kind", { get: () => this.kind });
  }

  readOnly(reason: string | null): void {
    this.refusal = reason === null ? null : new DfdbError("read_only", `read-only: ${reason}`);
    Object.assign(this.parts.role.readOnly, { on: reason !== null, reason });
  }
}

const refuses = (code: string) => (error: unknown) => error instanceof DfdbError && error.code === code;
const bundles = ["replication"] as const;

test("it is switched on once, where it is asked for, and not by a follower", async () => {
  const rig = new Rig();
  await activateBundles(rig.parts, [], false);
  rig.kind = "follower";
  await activateBundles(rig.parts, bundles, false);
  assert.equal(rig.submits, 0);
  rig.kind = "none";
  for (let i = 0; i < 2; i++) await activateBundles(rig.parts, bundles, false);
  assert.deepEqual([rig.submits, rig.active, rig.told], [1, true, 1]);
});

test("a leader that may not write yet waits until it may, or follows", async () => {
  for (const end of ["writes", "follows"] as const) {
    const rig = new Rig();
    rig.readOnly("no_lease");
    let over = false;
    const activating = activateBundles(rig.parts, bundles, false).then(() => over = true);
    await rig.clock.advance(500);
    assert.deepEqual([over, rig.submits > 1], [false, true]);
    if (end === "writes") rig.readOnly(null);
    else rig.kind = "follower";
    await rig.clock.advance(60);
    await activating;
    assert.equal(rig.active, end === "writes");
  }
});

test("but not for ever, and not for an operator", async () => {
  const rig = new Rig();
  rig.readOnly("unconfirmed_leadership");
  const activating = assert.rejects(activateBundles(rig.parts, bundles, false), refuses("read_only"));
  await rig.clock.advance(1_100);
  await activating;
  rig.readOnly("operator");
  await assert.rejects(activateBundles(rig.parts, bundles, false), refuses("read_only"));
  assert.equal(rig.clock.timers, 0);
});

test("followers that do not confirm in time change nothing: it is durable here", async () => {
  const rig = new Rig();
  rig.refusal = new DfdbError("replication_timeout", "nobody");
  await activateBundles(rig.parts, bundles, false);
  assert.deepEqual([rig.submits, rig.told], [1, 1]);
});

test("by the settings: documents are a mistake of the settings, a node that takes no writes starts", async () => {
  const rig = new Rig(), warnings: string[] = [];
  const logger = { ...silentLogger, warn: (message: string) => void warnings.push(message) };
  rig.refusal = new DfdbError("conflict", "it has documents");
  await assert.rejects(activateByTheSettings(rig.parts, logger), refuses("setting_invalid"));
  rig.readOnly("operator");
  await activateByTheSettings(rig.parts, logger);
  assert.equal(warnings.length, 1);
  rig.refusal = new DfdbError("disk_full", "no room");
  await assert.rejects(activateByTheSettings(rig.parts, logger), refuses("disk_full"));
  rig.refusal = null;
  await activateByTheSettings(rig.parts, logger);
  assert.ok(rig.active);
});
