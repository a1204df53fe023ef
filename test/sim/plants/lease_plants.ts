/** Mistakes in the lease that an etcd grants, and in who may have it next. */
import type { NodeId } from "../../../src/base/ids.ts";
import { LeaseMachine } from "../../../src/cluster/authority/lease.ts";
import { SyncKeeper } from "../../../src/cluster/authority/sync_keeper.ts";
import { all, type Plant, wrap } from "./plant.ts";

/** Until etcd says so. */
function neverOver(): () => void {
  const steps = new WeakMap<LeaseMachine, number>(), { prototype } = LeaseMachine;
  const deadline = Object.getOwnPropertyDescriptor(prototype, "deadline") as PropertyDescriptor;
  Object.defineProperty(prototype, "deadline", {
    ...deadline,
    // A time that is over for good is not looked at without end.
    get(this: LeaseMachine) {
      const at = deadline.get?.call(this) as number | null, last = steps.get(this) ?? 0;
      return at === null || at > last ? at : last + 20;
    },
  });
  return all(
    () => Object.defineProperty(prototype, "deadline", deadline),
    wrap(prototype, "step", (step) =>
      function (this: LeaseMachine, input, now) {
        steps.set(this, now);
        return step.call(this, input, now);
      }),
    wrap(prototype, "ended", (ended) =>
      function (this: LeaseMachine, now, wall) {
        return this.id === null ? ended.call(this, now, wall) : null;
      }),
  );
}

/** Of a lease's time; the rest is for clocks that differ, and hides the mistake nearly always. */
const usedShare = 0.8;

function countedFromAnswer(): () => void {
  return wrap(LeaseMachine.prototype, "step", (step) =>
    function (this: LeaseMachine, input, now) {
      if (input.type !== "taken" && input.type !== "renewed") return step.call(this, input, now);
      return step.call(this, {
        ...input,
        ttlMs: input.ttlMs / usedShare,
        sent: { at: now, wall: input.wall },
      }, now);
    });
}

/** They are in etcd, and no answer waits for them. */
function membersNotAwaited(): () => void {
  const leaders = new WeakMap<SyncKeeper, NodeId>();
  return all(
    wrap(SyncKeeper.prototype, "begin", (begin) =>
      function (this: SyncKeeper, leader, record) {
        leaders.set(this, leader);
        begin.call(this, leader, record);
      }),
    wrap(SyncKeeper.prototype, "members", (members) =>
      function (this: SyncKeeper) {
        return members.call(this)?.filter((nodeId) => nodeId === leaders.get(this)) ?? null;
      }),
  );
}

function noLeaseNoMembers(): () => void {
  return wrap(SyncKeeper.prototype, "members", (members) =>
    function (this: SyncKeeper) {
      return members.call(this) ?? [];
    });
}

export const leasePlants: Readonly<Record<string, Plant>> = {
  lease_not_checked: {
    mistake: "a leader does not look whether its lease is over: it waits until etcd says so",
    plant: neverOver,
  },
  lease_from_answer: {
    mistake: "a lease counts from the answer, not from before the request, and to its very end",
    plant: countedFromAnswer,
  },
  members_not_awaited: {
    mistake: "writes are answered without those that may take over",
    plant: membersNotAwaited,
  },
  members_forgotten: {
    mistake: "a leader whose lease is over answers what waits without those that may take over",
    plant: noLeaseNoMembers,
    features: true,
    from: 210_000_001,
  },
};
