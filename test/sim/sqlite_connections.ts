/** The SQLite connections that each process of the simulator has open, so that those of a dead one can be closed for it. */
import { DatabaseSync } from "node:sqlite";
import type { Owner, World } from "./world.ts";

const worlds = new Set<World>();
const byOwner = new WeakMap<Owner, Set<DatabaseSync>>();
const known = new WeakSet<DatabaseSync>();
let watching = false;

/**
 * From now on a connection belongs to the process in whose event it first prepares a statement. One world runs at a time. Returns
 * what ends it; connections known by then stay known.
 */
export function trackConnections(world: World): { stop(): void } {
  watch();
  worlds.add(world);
  return { stop: () => void worlds.delete(world) };
}

/** Those that are open. */
export function connectionsOf(owner: Owner): readonly DatabaseSync[] {
  return [...byOwner.get(owner) ?? []].filter((db) => db.isOpen);
}

/**
 * Closes what `owner` has open, whatever is going on there; returns how many. Never throws. To be called when no code of it runs any
 * more, and after its folder was removed: SQLite then notices that its file is gone and neither checkpoints nor
 * deletes a file by its path.
 */
export function closeConnections(owner: Owner): number {
  const open = connectionsOf(owner);
  byOwner.delete(owner);
  for (const db of open) {
    try {
      db.close();
    } catch {
      // It is closed with what it had open, or collected with the rest of the process.
    }
  }
  return open.length;
}

function watch(): void {
  if (watching) return;
  watching = true;
  const { prepare } = DatabaseSync.prototype;
  DatabaseSync.prototype.prepare = function (this: DatabaseSync, ...args: Parameters<typeof prepare>) {
    if (!known.has(this)) remember(this);
    return prepare.apply(this, args);
  };
}

function remember(db: DatabaseSync): void {
  for (const { running } of worlds) {
    if (running === null) continue;
    known.add(db);
    const open = byOwner.get(running) ?? new Set();
    byOwner.set(running, open);
    // Tasks open and close one after the other.
    if (open.size >= 8) { for (const other of open) if (!other.isOpen) open.delete(other); }
    open.add(db);
  }
}
