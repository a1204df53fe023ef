/** Starts dfdb on the runtime that runs this file: what `npm run serve` and `bun run serve` share. */
if ("Deno" in globalThis) await import("./deno/main.ts");
else if ("Bun" in globalThis) await import("./bun/main.ts");
else await import("./node/main.ts");

export {};
