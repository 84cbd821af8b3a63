import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Two cores is the smallest machine the suite is run on; a slow one must not fail for it.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
