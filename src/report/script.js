"use strict";
document.querySelectorAll(".key").forEach(function (key) {
  key.setAttribute("role", "button"); key.tabIndex = 0; key.title = "hide or show";
  key.setAttribute("aria-pressed", "true");
  var turn = function () {
    key.setAttribute("aria-pressed", String(!key.classList.toggle("off")));
    key.closest("figure").classList.toggle("h" + key.dataset.g);
  };
  key.addEventListener("click", turn);
  key.addEventListener("keydown", function (e) { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); turn(); } });
});
document.querySelectorAll("table").forEach(function (table) {
  var body = table.tBodies[0];
  if (!body || body.rows.length < 3) return;
  var heads = table.tHead.rows[0].cells;
  Array.prototype.forEach.call(heads, function (head, column) {
    var button = document.createElement("button");
    button.className = "sort"; button.title = "sort"; button.textContent = head.textContent;
    head.textContent = ""; head.appendChild(button);
    var sort = function () {
      var up = head.getAttribute("aria-sort") !== "ascending";
      Array.prototype.forEach.call(heads, function (h) { h.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      var value = function (row) {
        var text = row.cells[column] ? row.cells[column].textContent : "";
        var number = parseFloat(text.replace("$", ""));
        return isNaN(number) ? text : number;
      };
      Array.prototype.slice.call(body.rows).sort(function (a, b) {
        var x = value(a), y = value(b);
        var order = typeof x === typeof y ? (x < y ? -1 : x > y ? 1 : 0) : typeof x === "number" ? -1 : 1;
        return up ? order : -order;
      }).forEach(function (row) { body.appendChild(row); });
    };
    button.addEventListener("click", sort);
  });
  if (table.dataset.filter === undefined) return;
  var field = document.createElement("input");
  field.type = "search"; field.placeholder = "rows that hold these words"; field.setAttribute("aria-label", "filter rows");
  field.addEventListener("input", function () {
    var words = field.value.toLowerCase().split(/\s+/);
    Array.prototype.forEach.call(body.rows, function (row) {
      var text = row.textContent.toLowerCase();
      row.hidden = !words.every(function (word) { return text.indexOf(word) >= 0; });
    });
  });
  table.parentNode.parentNode.insertBefore(field, table.parentNode);
});
document.querySelectorAll("pre.copy").forEach(function (block) {
  if (!navigator.clipboard) return;
  var button = document.createElement("button");
  button.textContent = "copy";
  button.addEventListener("click", function () {
    navigator.clipboard.writeText(block.querySelector("code").textContent).then(function () { button.textContent = "copied"; });
  });
  block.insertBefore(button, block.firstChild);
});
