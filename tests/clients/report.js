// The page of a report, on a phone and on a desk, by day and by night: nothing is cut off or has to be pushed aside.
"use strict";
const assert = require("node:assert");
const { pathToFileURL } = require("node:url");

const { launch, accessible, fits, pushed, screenshot } = require("./browser.js");

async function main() {
    const browser = await launch();
    for (const colorScheme of ["light", "dark"]) {
        const page = await browser.newPage({ colorScheme });
        await page.goto(pathToFileURL(process.argv[2]).href);
        for (const width of [390, 1280]) {
            await fits(page, width);
            assert.deepStrictEqual(await pushed(page), [], `parts are wider than a window of ${width}`);
            const places = (selector) => page.locator(selector).evaluateAll((all) => all.map((one) => {
                const { left, right, height } = one.getBoundingClientRect();
                return { left, right, height };
            }));
            const [points, letters] = [await places(".plot circle"), await places(".plot .axis")];
            assert.ok(points.length > 4 && points.every(({ right }) => right <= width), `points are outside of a window of ${width}`);
            assert.ok(letters.every(({ left, height }) => left >= 0 && height >= 10), `letters are cut off or small in a window of ${width}`);
            await accessible(page);
            await screenshot(page, `bench-${colorScheme}-${width}`, { fullPage: true });
        }
    }
    await browser.close();
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
