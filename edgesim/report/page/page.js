"use strict";
// Sorts tables, fills the table of requests, draws the timeline, tells the topology. No library, no network.
(() => {
  const by = (id) => document.getElementById(id);
  const root = document.documentElement;

  // --- light and dark -------------------------------------------------------------------------
  const theme = by("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const repaint = [];
  const showTheme = () => {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-label", isDark() ? "Switch to light colours" : "Switch to dark colours");
    repaint.forEach((paint) => paint());
  };
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; showTheme(); });
  system.addEventListener("change", showTheme);

  // --- tables that are in the page --------------------------------------------------------------
  const missingLast = (a, b, way) => {
    const [noA, noB] = [a === null || a === "", b === null || b === ""];
    if (noA || noB) return noA - noB;
    return way * (typeof a === "number" && typeof b === "number" ? a - b
      : String(a).localeCompare(String(b), "en", { numeric: true }));
  };
  const turn = (head) => {
    const way = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", way);
    return way === "ascending" ? 1 : -1;
  };
  const keyOf = (cell) => {
    if (!cell) return "";
    if (cell.dataset.value === undefined) return cell.textContent;
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const head = event.target.closest("th");
      if (!head) return;
      const [column, way] = [head.cellIndex, turn(head)];
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => missingLast(keyOf(a.cells[column]), keyOf(b.cells[column]), way));
      table.tBodies[0].append(...rows);
    });
  }
  for (const part of document.querySelectorAll(".filtered")) {
    const rows = [...part.querySelectorAll("tbody tr")];
    part.querySelector(".filter").addEventListener("input", (event) => {
      const wanted = event.target.value.toLowerCase();
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
  }

  // --- topology ---------------------------------------------------------------------------------
  const told = by("topology-told");
  for (const part of document.querySelectorAll("#topology-drawing [data-lines]")) {
    const tell = () => { told.textContent = part.dataset.lines; };
    for (const event of ["focus", "mouseenter", "click"]) part.addEventListener(event, tell);
  }

  // --- requests ---------------------------------------------------------------------------------
  const source = by("requests-data");
  if (source) requests(JSON.parse(source.textContent));
  showTheme();

  // quantities as everywhere else: three digits, in the largest unit that keeps them at 1 or more
  function scaled(value, steps, nothing) {
    if (value === null) return "-";
    if (value === 0) return nothing;
    const [size, unit] = steps.find((step) => value >= step[0] * 0.9995) || steps.at(-1);
    return `${Number((value / size).toPrecision(3))} ${unit}`;
  }
  function seconds(value) {
    return scaled(value, [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"], [1e-3, "ms"], [1e-6, "us"]], "0 s");
  }
  function instant(value) { // when: to be found on the axis
    return `${Number(value.toPrecision(6))} s`;
  }
  function joules(value) {
    return scaled(value, [[1e6, "MJ"], [1e3, "kJ"], [1, "J"], [1e-3, "mJ"], [1e-6, "uJ"]], "0 J");
  }

  function requests(data) {
    const { columns, names, phases, duration } = data;
    const count = columns.request.length;
    const name = (column, row) => names[column][columns[column][row]];
    const colour = {};
    const colours = () => {
      const style = getComputedStyle(root);
      for (const phase of [...phases, "ink", "soft", "rule", "paper"]) colour[phase] = style.getPropertyValue(`--${phase}`).trim();
      for (const swatch of document.querySelectorAll("[data-phase]")) swatch.style.background = colour[swatch.dataset.phase];
    };
    repaint.push(colours);
    colours();
    const timeline = timelineOf();
    tableOf();

    function tableOf() {
      const used = phases.filter((phase) => columns[phase].some((value) => value));
      const several = data.replications > 1;
      const shown = [
        ["request", "request"], ...(several ? [["replication", "replication"]] : []),
        ...["workload", "status", "tier", "replica"].filter((each) => names[each]).map((each) => [each, each]),
        ...(columns.times_limit.some((value) => value !== null) ? [["times_limit", "times limit"]] : []),
        ["arrived", "arrived"], ["ttft", "TTFT"], ["tpot", "TPOT"], ["e2e", "end to end"],
        ...used.map((phase) => [phase, phase]),
        ["prompt_tokens", "prompt tokens"], ["output_tokens", "output tokens"], ["energy", "energy"], ["cost", "cost"],
      ];
      const times = new Set(["ttft", "tpot", "e2e", ...phases]);
      const write = (column, row) => {
        const value = columns[column][row];
        if (names[column]) return name(column, row);
        if (times.has(column)) return seconds(value);
        if (column === "arrived") return instant(value);
        if (column === "energy") return joules(value);
        if (value === null) return "-";
        if (column === "times_limit") return `${Number(value.toPrecision(3))} ×`;
        if (column === "cost") return `$${value.toLocaleString("en", { maximumSignificantDigits: 3 })}`;
        return value.toLocaleString("en");
      };
      const value = (column, row) => (names[column] ? name(column, row) : columns[column][row]);
      const PAGE = 50;
      const [head, body] = [by("requests-table").tHead, by("requests-table").tBodies[0]];
      const [filter, status, tier] = ["filter", "status", "tier"].map((each) => by(`requests-${each}`));
      const first = shown.some(([column]) => column === "times_limit") ? "times_limit" : "e2e"; // the worst first
      const order = [...Array(count).keys()].sort((a, b) => missingLast(value(first, a), value(first, b), -1));
      let found = order;
      let page = 0;

      const line = head.insertRow();
      for (const [column, label] of [...shown, [null, "phases"]]) {
        const cell = document.createElement("th");
        cell.scope = "col";
        if (column) {
          cell.setAttribute("aria-sort", column === first ? "descending" : "none");
          if (!names[column]) cell.className = "number";
          const button = document.createElement("button");
          button.type = "button";
          button.textContent = label;
          button.addEventListener("click", () => {
            const way = turn(cell);
            order.sort((a, b) => missingLast(value(column, a), value(column, b), way));
            choose();
          });
          cell.append(button);
        } else {
          cell.textContent = label;
          cell.style.padding = ".3rem .6rem";
        }
        line.append(cell);
      }
      for (const [select, column] of [[status, "status"], [tier, "tier"]]) {
        for (const each of names[column] || []) {
          if (each && columns[column].includes(names[column].indexOf(each))) select.add(new Option(each, each));
        }
        select.addEventListener("change", choose);
      }
      filter.addEventListener("input", choose);
      by("requests-back").addEventListener("click", () => { page -= 1; fill(); });
      by("requests-next").addEventListener("click", () => { page += 1; fill(); });
      by("requests-said").textContent = data.said;
      const words = [...Array(count).keys()].map((row) => ["request", "workload", "status", "tier", "replica", "reason"]
        .map((column) => (columns[column] ? String(value(column, row)) : "")).join(" ").toLowerCase());
      choose();

      function choose() {
        const wanted = filter.value.trim().toLowerCase();
        found = order.filter((row) => (!wanted || words[row].includes(wanted))
          && (!status.value || name("status", row) === status.value) && (!tier.value || name("tier", row) === tier.value));
        page = 0;
        fill();
      }

      function fill() {
        const pages = Math.max(1, Math.ceil(found.length / PAGE));
        page = Math.min(Math.max(page, 0), pages - 1);
        body.replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map(rowOf));
        by("requests-count").textContent = `${found.length.toLocaleString("en")} of ${count.toLocaleString("en")} match`;
        by("requests-page").textContent = `page ${page + 1} of ${pages}`;
        by("requests-back").disabled = page === 0;
        by("requests-next").disabled = page === pages - 1;
      }

      function rowOf(row) {
        const line = document.createElement("tr");
        for (const [column] of shown) {
          const cell = document.createElement(column === "request" ? "th" : "td");
          if (column === "request") {
            cell.scope = "row";
            const button = document.createElement("button");
            button.type = "button";
            button.className = "link-button";
            button.textContent = String(columns.request[row]);
            button.setAttribute("aria-label", `Show request ${columns.request[row]} in the timeline`);
            button.addEventListener("click", () => timeline.show(row));
            cell.append(button);
          } else {
            cell.textContent = write(column, row);
            cell.className = names[column] ? "name" : "number";
          }
          line.append(cell);
        }
        const last = document.createElement("td");
        last.append(barOf(row));
        line.append(last);
        return line;
      }

      function barOf(row) {
        const bar = document.createElement("div");
        bar.className = "bar";
        bar.setAttribute("role", "img");
        const whole = columns.e2e[row] || 1;
        bar.setAttribute("aria-label", phases.filter((phase) => columns[phase][row] > 0)
          .map((phase) => `${phase} ${Math.round((columns[phase][row] / whole) * 100)} %`).join(", "));
        for (const phase of phases) {
          if (!(columns[phase][row] > 0)) continue;
          const part = document.createElement("i");
          part.style.width = `${(columns[phase][row] / whole) * 100}%`;
          part.style.background = `var(--${phase})`;
          bar.append(part);
        }
        return bar;
      }
    }

    function timelineOf() {
      const canvas = by("timeline-canvas");
      const pen = canvas.getContext("2d");
      const chooser = by("replication");
      const AXIS = 22;
      let lanes = [];
      let rows = [];
      let height = 4;
      let [from, to] = [0, duration];
      let marked = -1;

      function lay() { // requests that do not overlap share a lane
        const replication = chooser ? Number(chooser.value) : 0;
        rows = [...Array(count).keys()].filter((row) => columns.replication[row] === replication);
        rows.sort((a, b) => columns.arrived[a] - columns.arrived[b]);
        const free = []; // heap of [end, lane]
        lanes = new Array(count).fill(0);
        let used = 0;
        for (const row of rows) {
          const [start, end] = [columns.arrived[row], columns.arrived[row] + columns.e2e[row]];
          let lane = used;
          if (free.length && free[0][0] <= start) lane = pop(free)[1]; else used += 1;
          lanes[row] = lane;
          push(free, [end, lane]);
        }
        height = Math.min(14, Math.max(2, Math.floor(380 / Math.max(used, 1))));
        canvas.style.height = `${used * height + AXIS}px`;
      }
      function push(heap, item) {
        let at = heap.push(item) - 1;
        while (at && heap[(at - 1) >> 1][0] > heap[at][0]) {
          const up = (at - 1) >> 1;
          [heap[at], heap[up]] = [heap[up], heap[at]];
          at = up;
        }
      }
      function pop(heap) {
        const top = heap[0];
        const last = heap.pop();
        if (heap.length) {
          heap[0] = last;
          for (let at = 0; ;) {
            let least = at;
            for (const down of [2 * at + 1, 2 * at + 2]) if (down < heap.length && heap[down][0] < heap[least][0]) least = down;
            if (least === at) break;
            [heap[at], heap[least]] = [heap[least], heap[at]];
            at = least;
          }
        }
        return top;
      }

      function paint() {
        const [wide, high, dense] = [canvas.clientWidth, parseFloat(canvas.style.height), devicePixelRatio || 1];
        canvas.width = Math.round(wide * dense);
        canvas.height = Math.round(high * dense);
        pen.setTransform(dense, 0, 0, dense, 0, 0);
        pen.clearRect(0, 0, wide, high);
        const scale = wide / (to - from);
        axis(wide, high, scale);
        const gap = height > 4 ? 1 : 0;
        for (const row of rows) {
          let x = (columns.arrived[row] - from) * scale;
          if (x > wide || x + columns.e2e[row] * scale < 0) continue;
          const y = AXIS + lanes[row] * height;
          for (const phase of phases) {
            const length = columns[phase][row] * scale;
            if (length > 0) {
              pen.fillStyle = colour[phase];
              pen.fillRect(x, y, Math.max(length, 0.5), height - gap);
              x += length;
            }
          }
          if (row === marked) {
            pen.strokeStyle = colour.ink;
            pen.lineWidth = 2;
            const start = (columns.arrived[row] - from) * scale;
            pen.strokeRect(start - 1, y - 1, Math.max(columns.e2e[row] * scale, 2) + 2, height - gap + 2);
          }
        }
        by("timeline-span").textContent = `${instant(from)} to ${instant(to)}`;
      }

      function axis(wide, high, scale) {
        const rough = (to - from) / Math.max(2, Math.floor(wide / 110));
        const size = 10 ** Math.floor(Math.log10(rough));
        const step = [1, 2, 5, 10].map((each) => each * size).find((each) => each >= rough);
        pen.fillStyle = colour.soft;
        pen.strokeStyle = colour.rule;
        pen.lineWidth = 1;
        pen.font = "12px system-ui, sans-serif";
        for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
          const x = (at - from) * scale;
          pen.beginPath();
          pen.moveTo(x, 16);
          pen.lineTo(x, high);
          pen.stroke();
          pen.fillText(`${Number(at.toPrecision(10))} s`, Math.min(x + 2, wide - 40), 12);
        }
      }

      function move(start, end) {
        const span = Math.min(Math.max(end - start, duration * 1e-5), duration);
        from = Math.min(Math.max(start, 0), duration - span);
        to = from + span;
        paint();
      }
      const zoom = (factor, at = (from + to) / 2) => move(at - (at - from) * factor, at + (to - at) * factor);
      const does = {
        in: () => zoom(0.5), out: () => zoom(2), all: () => move(0, duration),
        left: () => move(from - (to - from) / 4, to - (to - from) / 4),
        right: () => move(from + (to - from) / 4, to + (to - from) / 4),
      };
      for (const button of document.querySelectorAll("[data-does]")) button.addEventListener("click", () => does[button.dataset.does]());
      const keys = { "+": "in", "=": "in", "-": "out", "0": "all", ArrowLeft: "left", ArrowRight: "right" };
      canvas.addEventListener("keydown", (event) => {
        if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        does[keys[event.key]]();
      });
      canvas.addEventListener("wheel", (event) => {
        if (!event.ctrlKey) return; // a plain wheel scrolls the page
        event.preventDefault();
        zoom(event.deltaY > 0 ? 1.25 : 0.8, from + (event.offsetX / canvas.clientWidth) * (to - from));
      }, { passive: false });
      let held = null;
      const NEAR = 10; // a finger moves so far [px] without dragging, and misses bars by so much
      const rowAt = (event, slack) => {
        const at = (x) => from + (x / canvas.clientWidth) * (to - from);
        const lane = (event.offsetY - AXIS) / height;
        let [best, least] = [-1, slack / height + 0.5];
        for (const row of rows) {
          const far = Math.abs(lanes[row] + 0.5 - lane);
          if (far < least && columns.arrived[row] <= at(event.offsetX + slack)
            && at(event.offsetX - slack) <= columns.arrived[row] + columns.e2e[row]) [best, least] = [row, far];
        }
        return best;
      };
      const letGo = () => { held = null; };
      canvas.addEventListener("pointerdown", (event) => {
        held = { x: event.clientX, y: event.clientY, from, to, moved: false };
        canvas.setPointerCapture(event.pointerId);
      });
      canvas.addEventListener("pointerup", (event) => {
        if (held && !held.moved) { // a click or a tap chooses
          const row = rowAt(event, event.pointerType === "mouse" ? 0 : NEAR);
          if (row >= 0) { marked = row; tell(row); paint(); }
        }
        letGo();
      });
      canvas.addEventListener("pointercancel", letGo);
      canvas.addEventListener("pointermove", (event) => {
        if (held) {
          held.moved = held.moved || Math.hypot(event.clientX - held.x, event.clientY - held.y) > NEAR / 2;
          const shift = ((event.clientX - held.x) / canvas.clientWidth) * (held.to - held.from);
          if (held.moved) move(held.from - shift, held.to - shift);
          return;
        }
        const row = rowAt(event, 0);
        if (row >= 0) tell(row);
      });
      function tell(row) {
        const parts = phases.filter((phase) => columns[phase][row] > 0).map((phase) => `${phase} ${seconds(columns[phase][row])}`);
        const where = names.replica && name("replica", row) ? ` at ${name("replica", row)}` : "";
        by("timeline-told").textContent = `Request ${columns.request[row]} (${name("workload", row)}, ${name("status", row)})${where}, `
          + `arrived at ${instant(columns.arrived[row])}, took ${seconds(columns.e2e[row])}: ${parts.join(", ")}.`;
      }
      function show(row) {
        marked = row;
        if (chooser && Number(chooser.value) !== columns.replication[row]) {
          chooser.value = String(columns.replication[row]);
          lay();
        }
        const [start, length] = [columns.arrived[row], columns.e2e[row]];
        move(start - length * 0.5 - 0.01, start + length * 1.5 + 0.01);
        tell(row);
        canvas.parentElement.scrollTop = lanes[row] * height - 100;
        by("timeline").scrollIntoView({ block: "start" });
        canvas.focus({ preventScroll: true });
      }
      if (chooser) chooser.addEventListener("change", () => { lay(); paint(); });
      lay();
      paint();
      new ResizeObserver(paint).observe(canvas.parentElement);
      repaint.push(paint);
      return { show };
    }
  }
})();
