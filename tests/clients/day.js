// A day at the dock, in the portal: things that staff and customers do. Each is done with at most so many actions (a click,
// a field filled in, a code scanned), and every page on the way is one that everybody can use: accessible, and nothing of it has to
// be pushed aside on a phone, a tablet or a desk.
"use strict";
const assert = require("node:assert");
const { spawn } = require("node:child_process");
const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");

const { SERVER, alerts, launch, logIn, accessible, fill, fits, pushed, screenshot } = require("./browser.js");

const { OPERATOR, ACME, HALL, HALL_CONFIG, DRIVES, AGENT, HOOK_PORT } = process.env;

const WIDTHS = [390, 768, 1280];

// Pages that were looked at, by what stands in their addresses for names.
const seen = new Set();

// What a person does, counted.
class Hands {
    constructor(page) {
        this.page = page;
        this.count = 0;
    }

    // Leads to a page, which may be the same one again.
    async click(selector) {
        this.count += 1;
        await Promise.all([this.page.waitForNavigation(), this.page.click(selector)]);
        await look(this.page);
    }

    async fill(fields) {
        this.count += Object.keys(fields).length;
        await fill(this.page, fields);
    }

    // A scanner types at once, into the field that has the keyboard, and ends with a line end.
    async scan(code) {
        this.count += 1;
        await this.page.waitForFunction(() => document.activeElement?.id === "code");
        await Promise.all([
            this.page.waitForURL((url) => url.searchParams.get("code") === code),
            this.page.keyboard.type(`${code}\n`),
        ]);
        await look(this.page);
    }
}

// A page at the width of a phone, a tablet and a desk.
async function look(page) {
    const kind = new URL(page.url()).pathname.replace(/\/(job|drive|bay|tokens)\/[^/]+(\/default\/[^/]+)?/g, "/$1/…");
    for (const width of WIDTHS) {
        await fits(page, width);
        assert.deepStrictEqual(await pushed(page), [], `${page.url()} has parts that are wider than a window of ${width}`);
        if (!seen.has(kind)) await screenshot(page, `day-${seen.size}-${width}`, { fullPage: true });
    }
    await accessible(page);
    seen.add(kind);
}

let played = 0;

// Plays one scenario from a page that is open already.
async function scenario(name, page, most, play) {
    const hands = new Hands(page);
    await play(hands);
    console.log(`${name}: ${hands.count} of ${most}`);
    assert.ok(hands.count <= most, `${name} takes ${hands.count} actions, and may take ${most}`);
    played += 1;
}

const ADDRESS = {
    recipientName: "R", streetAddress1: "S", postalCode: "1", city: "C", countryOrRegion: "X", phone: "1", email: "a@example.com",
};

const drive = (name) => `${DRIVES}/${name}.toml`;
const row = (page, text) => page.locator(`.attention li:has-text('${text}')`).first();
const state = (page, name) => page.waitForSelector(`.state .badge.${name}`);

// Of no scenario: a job that another one begins with.
async function shipped(page, jobName, driveList, trackingNumber) {
    await page.goto(`${SERVER}/portal/new?type=Import`);
    await fill(page, { jobName, driveList });
    await page.click("text=Look it over");
    await page.click("text=Create the job");
    await page.click("a:text-is('Ship')");
    await fill(page, { carrierName: "FedEx", trackingNumber, ...ADDRESS });
    await page.click("text=The drives are on their way");
    await state(page, "Shipping");
    return page.url();
}

async function docked(page, bay, path) {
    await page.goto(`${SERVER}/portal/dock?bay=${encodeURIComponent(bay)}`);
    await page.fill("[name=path]", path);
    await page.click("button:has-text('Dock it')");
    await page.waitForURL(/portal\/bays$/);
}

async function takenOut(page, bay) {
    await page.goto(`${SERVER}/portal/bays`);
    await Promise.all([page.waitForNavigation(), page.click(`article:has(h3:text-is('${bay}')) >> button:has-text('Take it out')`)]);
    await page.waitForSelector(`article:has(h3:text-is('${bay}')) >> text=Dock a drive`);
}

async function before(customer, staff) {
    await look(customer);
    await scenario("a new job", customer, 6, async (hands) => {
        await hands.click("main >> text=New job");
        await hands.click("a:text-is('Import')");
        await hands.fill({ jobName: "photos", driveList: "WD-A1\nWD-A2" });
        await hands.click("text=Look it over");
        await hands.click("text=Create the job");
        await state(customer, "Creating");
    });
    await scenario("a BitLocker key, and another serial number", customer, 3, async (hands) => {
        await hands.click("a:text-is('Change')");
        await hands.fill({ driveList: `WD-B1 ${Array(8).fill("111111").join("-")}\nWD-B2` });
        await hands.click("button:has-text('Save')");
        await customer.waitForSelector("article h3:has-text('WD-B2')");
    });
    await scenario("the first parcel", customer, 11, async (hands) => {
        await hands.click("a:text-is('Ship')");
        assert.strictEqual(await customer.inputValue("[name=driveCount]"), "2", "the job says how many drives it has");
        await hands.fill({ carrierName: "FedEx", trackingNumber: "1Z-TYPO", ...ADDRESS });
        await hands.click("text=The drives are on their way");
        await state(customer, "Shipping");
    });
    await scenario("a tracking number with a typo", customer, 3, async (hands) => {
        await hands.click("a:text-is('Correct the parcel')");
        await hands.fill({ trackingNumber: "1Z-PHOTOS" });
        await hands.click("button:has-text('Save')");
        await customer.waitForSelector("dd:has-text('FedEx 1Z-PHOTOS')");
    });
    await scenario("a search by what is in the hand", staff, 3, async (hands) => {
        await hands.click("nav >> text=Jobs");
        await hands.fill({ search: "z-photo" });
        await hands.click("text=Search");
        assert.deepStrictEqual(await staff.locator("th a").allTextContents(), ["photos"]);
    });
}

async function arrival(customer, staff) {
    await docked(staff, "bay-2", drive("OTHERS-1"));
    await scenario("a parcel with two drives", staff, 5, async (hands) => {
        await hands.click("nav >> text=Receive");
        await hands.scan("1z-photos");
        await staff.waitForSelector("article:has-text('0 of 2 drives came')");
        for (const serial of ["WD-B1", "WD-B2"]) {
            await hands.click(`li:has-text('${serial}') >> text=Check it in`);
            await staff.waitForSelector(`li:has-text('${serial}') .badge.Received`);
            assert.ok(await staff.evaluate(() => document.activeElement.id === "code"), "the next code can be scanned");
        }
    });
    // The drive in the other bay is another customer's: no check-in takes it unless it is chosen.
    await staff.goto(`${SERVER}/portal/bays`);
    await row(staff, "OTHERS-1").waitFor();
    await takenOut(staff, "bay-2");
    await customer.reload();
    await customer.waitForSelector("text=The drives are there, and are copied as soon as they are in a bay.");
    // A drive that was checked in by mistake can be taken back before anything of it is copied.
    await staff.goto(customer.url());
    await staff.click("article:has-text('WD-B2') >> text=It is another drive");
    await staff.waitForSelector("text=Nothing of it was copied");
    await look(staff);
    await staff.goto(`${SERVER}/portal/bays`);
    await scenario("a drive into a bay", staff, 3, async (hands) => {
        await hands.click("article:has(h3:text-is('bay-1')) >> text=Dock a drive");
        await hands.fill({ path: drive("WD-B1") });
        await hands.click("button:has-text('Dock it')");
        await staff.waitForSelector("article:has(h3:text-is('bay-1')) .badge.copying");
    });
    await customer.goto(`${SERVER}/portal/jobs`);
    await scenario("how far it is", customer, 1, async (hands) => {
        await hands.click("th a:text-is('photos')");
        await customer.waitForSelector("article:has-text('WD-B1') .numbers:has-text('/s')");
    });
    await scenario("a pause, and on", staff, 3, async (hands) => {
        await hands.click("article:has(h3:text-is('bay-1')) >> a:text-is('photos')");
        await hands.click("article:has-text('WD-B1') >> button:has-text('Pause')");
        await hands.click("article:has-text('WD-B1') >> button:has-text('Resume')");
        await staff.waitForSelector("article:has-text('WD-B1') >> button:has-text('Pause')");
    });
    await staff.goto(`${SERVER}/portal/bays`);
    await scenario("a drive that is here and in no bay", staff, 4, async (hands) => {
        await hands.click(".attention li:has-text('WD-B2') >> a:text-is('Dock it')");
        await staff.waitForSelector("text=WD-B2 waits for a bay.");
        assert.strictEqual(await staff.inputValue("[name=driveId]"), "", "the drive itself says which it is");
        assert.strictEqual(await staff.inputValue("[name=bay]"), "", "no bay is guessed");
        await hands.fill({ bay: "bay-2", path: drive("WD-B2") });
        await hands.click("button:has-text('Dock it')");
        await staff.waitForSelector("article:has(h3:text-is('bay-2')) :text('WD-B2')");
    });
    await state(customer, "Packaging");
    await staff.goto(`${SERVER}/portal/dock?bay=bay-9`);
    await staff.waitForSelector("text=bay-9 is not free for docking by hand now");
    await staff.click("button:has-text('Dock it')");
    await staff.waitForSelector("text=choose the bay that the drive is in");
}

async function departure(staff, customer) {
    await staff.goto(`${SERVER}/portal/bays`);
    await scenario("a return slip", staff, 3, async (hands) => {
        await row(staff, "WD-B1").waitFor();
        await hands.click(".attention li:has-text('WD-B1') >> a:text-is('photos')");
        await hands.click("text=Return slip and label");
        await staff.waitForSelector(".label address:has-text('R')");
        hands.count += 1;
        await staff.evaluate(() => { window.print = () => { document.title = "printed"; }; });
        await staff.click("button:text-is('Print')");
        assert.strictEqual(await staff.title(), "printed");
    });
    await staff.goto(`${SERVER}/portal/bays`);
    await scenario("the parcel back", staff, 3, async (hands) => {
        await hands.click(".attention li:has-text('WD-B1') >> a:has-text('Send back')");
        assert.strictEqual(await staff.inputValue("[name=carrierName]"), "FedEx");
        await hands.fill({ trackingNumber: "BACK-1" });
        await hands.click("button:has-text('They went back')");
        await state(staff, "Completed");
    });
    await scenario("a job that is deleted", customer, 2, async (hands) => {
        await state(customer, "Completed");
        await hands.click("a:has-text('Delete')");
        await hands.click("button:has-text('Delete the job')");
        await customer.waitForURL(/portal\/jobs$/);
    });
    for (const bay of ["bay-1", "bay-2"]) await takenOut(staff, bay);
}

async function trouble(customer, staff) {
    await shipped(customer, "pulled", "PULLED-1", "T-PULLED");
    const watched = drive("watched");
    fs.copyFileSync(drive("PULLED-1"), watched);
    await scenario("a drive that is pulled too early, and put back", staff, 0, async () => {
        await staff.goto(`${SERVER}/portal/bays`);
        await row(staff, "PULLED-1").locator("text=dock it again, at any port, and its copy continues").waitFor();
        await look(staff);
        fs.rmSync(watched);
        await staff.waitForSelector("article:has(h3:text-is('bay-3')) .badge.empty");
        fs.copyFileSync(drive("PULLED-1"), watched);
        await state(customer, "Packaging");
    });
    await shipped(customer, "failing", "BAD-1", "T-BAD");
    await docked(staff, "bay-1", drive("BAD-1"));
    await row(staff, "BAD-1").locator("text=what can be read can be rescued").waitFor();
    await scenario("a copy that was given up by mistake", staff, 3, async (hands) => {
        await hands.click(".attention li:has-text('BAD-1') >> a:has-text('Give up')");
        await hands.click("button:has-text('Give up')");
        await state(staff, "Packaging");
        await hands.click("button:has-text('Take back the give-up')");
        await state(staff, "Transferring");
    });
    await staff.goto(`${SERVER}/portal/bays`);
    await scenario("a failing drive", staff, 1, async (hands) => {
        await row(staff, "BAD-1").locator("button:has-text('Rescue what can be read')").waitFor();
        await hands.click(".attention li:has-text('BAD-1') >> button:has-text('Rescue what can be read')");
        await state(staff, "Packaging");
    });
    await takenOut(staff, "bay-1");
    await shipped(customer, "wrong", "TWIN-1", "T-TWIN");
    await docked(staff, "bay-1", drive("TWIN-1"));
    await state(customer, "Packaging");
    // Another drive of the same number comes: which of them is it?
    await docked(staff, "bay-2", drive("TWIN-2"));
    await row(staff, "TWIN-1").locator("a:has-text('The one copied was wrong')").waitFor();
    await scenario("the wrong drive, noticed when it was copied", staff, 5, async (hands) => {
        await hands.click(".attention li:has-text('TWIN-1') >> a:has-text('The one copied was wrong')");
        await hands.click("button:has-text('It was the wrong drive')");
        await staff.goto(`${SERVER}/portal/bays`);
        await hands.click(".attention li:has-text('bay-2') >> a:has-text('Check it in')");
        await hands.click("button:has-text('Check it in')");
        await staff.goto(`${SERVER}/portal/bays`);
        await hands.click(".attention li:has-text('TWIN-1') >> button:has-text('Try again, replacing the blob')");
        await state(staff, "Packaging");
    });
    for (const bay of ["bay-1", "bay-2"]) await takenOut(staff, bay);
    const cancelled = await shipped(customer, "cancelled", "SLOW-1", "T-SLOW");
    await docked(staff, "bay-1", drive("SLOW-1"));
    await customer.goto(cancelled);
    await customer.waitForSelector("article .numbers:has-text('/s')");
    await scenario("a cancel before the drives are packed", customer, 2, async (hands) => {
        await hands.click("a:text-is('Cancel')");
        await hands.click("button:has-text('Cancel the job')");
        await state(customer, "Packaging");
        await customer.waitForSelector("svg.bar");
        await look(customer);
    });
}

async function house(browser, staff) {
    await scenario("a customer's token that is lost", staff, 8, async (hands) => {
        await hands.click("nav >> text=About");
        await hands.click("main >> text=Tokens");
        await hands.click("[aria-label='Revoke the token of acme']");
        await hands.click("text=Revoke it");
        await hands.click("text=New token");
        await hands.fill({ name: "acme", subscriptions: "acme" });
        await hands.click("text=Make the token");
        const token = await staff.locator(".secret code").textContent();
        await (await logIn(browser, token)).waitForSelector("th a:text-is('cancelled')");
    });
    const station = spawn(AGENT, ["station", "--service", SERVER, "--token-file", HALL, "--name", "hall-a",
        "--config", HALL_CONFIG, "--state-dir", `${DRIVES}/hall-a`]);
    await staff.goto(`${SERVER}/portal/bays`);
    await staff.waitForSelector("h3:text-is('hall-a/bay-1')");
    station.kill("SIGKILL");
    await scenario("a station that is gone for good", staff, 2, async (hands) => {
        await row(staff, "hall-a").locator("text=Station away").waitFor();
        await hands.click(".attention li:has-text('hall-a') >> a:has-text('It is gone for good')");
        await hands.click("text=Revoke it");
        await staff.goto(`${SERVER}/portal/bays`);
        await staff.waitForFunction(() => !document.body.textContent.includes("hall-a"));
    });
}

// What a program is told meanwhile, with nobody's doing.
function listen() {
    const told = [];
    const server = http.createServer((request, response) => {
        let body = "";
        request.on("data", (part) => { body += part; });
        request.on("end", () => {
            const signed = `sha256=${crypto.createHmac("sha256", "hook-secret").update(body).digest("hex")}`;
            if (request.headers["x-drive-agent-signature"] === signed) told.push(JSON.parse(body));
            response.writeHead(204).end();
        });
    });
    server.listen(Number(HOOK_PORT), "127.0.0.1");
    return { told, server };
}

async function main() {
    const { told, server } = listen();
    const browser = await launch();
    const [customer, staff] = [await logIn(browser, ACME), await logIn(browser, OPERATOR)];
    await before(customer, staff);
    await arrival(customer, staff);
    await departure(staff, customer);
    await trouble(customer, staff);
    await scenario("notices of each state", customer, 0, async () => {
        const states = new Set(told.map((one) => one.state));
        const most = ["Shipping", "Received", "Transferring", "Packaging", "Completed"];
        assert.deepStrictEqual(most.filter((one) => !states.has(one)), [], `told of ${[...states]}`);
    });
    await house(browser, staff);
    assert.deepStrictEqual(alerts, []);
    assert.strictEqual(played, 21);
    await browser.close();
    server.close();
    server.closeAllConnections();
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
