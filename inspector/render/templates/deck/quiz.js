// Questions: asked, talked about, answered; hands counted with keys 1 to 4 before and after the talk.
const Quiz = (() => {
  "use strict";
  const { roomy } = Deck.deck;
  const quizzes = new Map();

  for (const form of document.querySelectorAll("form.quiz")) {
    const section = form.closest("section");
    const options = [...form.querySelectorAll(".option")];
    const hands = options.map(() => [0, 0]);
    const output = form.querySelector("output");
    form.classList.add("scripted");
    form.addEventListener("submit", (event) => event.preventDefault());
    section.classList.toggle("asking", true);

    const answered = () => {
      form.dataset.state = "2";
      if (!section.dataset.onlyQuiz) section.classList.remove("asking");
    };
    for (const option of options) {
      option.querySelector("input").addEventListener("change", () => {
        // In a lecture hands are counted and a choice is the teacher's own; at home it is the answer.
        const right = Boolean(option.dataset.right);
        for (const other of options) other.classList.toggle("chosen", other === option);
        output.textContent = right ? Deck.deck.text("right") : option.dataset.slip;
        output.classList.toggle("right", right);
        if (!roomy) answered();
      });
    }
    form.querySelector(".show").addEventListener("click", answered);

    const draw = () => {
      const most = Math.max(1, ...hands.flat());
      options.forEach((option, index) => {
        const bars = hands[index].map((count) => {
          const bar = document.createElement("i");
          bar.style.width = `${(100 * count) / most}%`;
          bar.textContent = count || "";
          return bar;
        });
        option.querySelector(".votes").replaceChildren(...bars);
      });
    };
    quizzes.set(section, {
      // Frames 0 to 2 are the question's; those after it the picture's own.
      step: (frame) => {
        form.dataset.state = String(Math.min(frame, 2));
        section.classList.toggle("asking", frame < 3);
        return Math.max(0, frame - (section.dataset.onlyQuiz ? 2 : 3));
      },
      vote: (index, undo) => {
        const round = form.dataset.state === "0" ? 0 : 1;
        if (!options[index] || !section.classList.contains("asking")) return false;
        hands[index][round] = Math.max(0, hands[index][round] + (undo ? -1 : 1));
        draw();
        return true;
      },
      question: () => form.querySelector("legend").textContent,
    });
  }
  return quizzes;
})();
