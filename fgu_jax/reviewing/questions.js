// After table.js: the questions.

function nextQuestion() {
  const asked = new Set(
    actions.filter((action) => action.kind === "answer").map((action) => action.question),
  );
  let left = 0;
  let next = null;
  data.questions.forEach(([a, b], question) => {
    if (asked.has(question) || groups.known(a, b)) return;
    left += 1;
    next ??= question;
  });
  return { next, left, asked: asked.size };
}

function drawSide(figure, row, others) {
  const [, file, camera, date] = data.images[row];
  const image = figure.querySelector("img");
  image.src = "thumbnails/" + file;
  image.alt = shown(row);
  const more = [date, camera && `camera ${camera}`].filter(Boolean).join(", ");
  figure.querySelector("figcaption").textContent = shown(row) + (more ? "\n" + more : "");
  figure.querySelector(".others").replaceChildren(...others.map((other) => picture(other, false)));
}

function drawQuestion() {
  const { next, left, asked } = nextQuestion();
  const all = data.questions.length;
  const known = all - left - asked;
  $("count").textContent =
    `${number.format(asked)} answered` +
    (known ? `, ${number.format(known)} known from other answers` : "") +
    `, ${number.format(left)} left; the first count most`;
  $("progress").max = Math.max(1, all);
  $("progress").value = all - left;
  $("asking").hidden = next === null;
  $("done").hidden = next !== null;
  current = next;
  if (next === null) return;
  const [a, b, within, sizeA, sizeB, othersA, othersB] = data.questions[next];
  $("why").textContent = within
    ? `If not, a cluster of ${plural(sizeA + sizeB, "image")} falls into ${sizeA} and ${sizeB}.`
    : `If so, clusters of ${plural(sizeA, "image")} and ${sizeB} become one.`;
  const [first, second] = $("asking").querySelectorAll("figure");
  drawSide(first, a, othersA);
  drawSide(second, b, othersB);
  for (const [ahead, otherAhead] of data.questions.slice(next + 1, next + 4)) {
    for (const row of [ahead, otherAhead]) new Image().src = "thumbnails/" + data.images[row][1];
  }
}

function answer(word) {
  if (current === null) return;
  const [a, b] = data.questions[current];
  const same = { same: true, different: false, skip: null }[word];
  tell("");
  act({ kind: "answer", question: current, a, b, same });
}
