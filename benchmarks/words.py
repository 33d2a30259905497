"""What the people of the benchmark's network are called, and what they say."""

FIRST_NAMES = (
    "Ada", "Bruno", "Chidi", "Dörte", "Edsger", "Fatima", "Grace", "Haruki", "Inês", "João", "Katherine", "Linus",
    "Margaret", "Niklaus", "Olga", "Priya", "Qiang", "Radia", "Søren", "Tove", "Umberto", "Valentina", "Wisława",
)  # fmt: skip

LAST_NAMES = (
    "Almeida", "Berg", "Castro", "Dijkstra", "Eriksen", "Ferreira", "Goldberg", "Hamilton", "Ivanova", "Johnson",
    "Lovelace", "Matsumoto", "Nakamura", "Okafor", "Perlman", "Quispe", "Rocha", "Sato", "Turing", "Wirth", "Zhang",
)  # fmt: skip

SENTENCES = (
    "Good morning!",
    "Shipped it.",
    "It was the cache. It is always the cache.",
    "Does anyone know a good book about query planners?",
    "Olá, mundo! 🎉",
    "The tests are green, so I am going for a walk.",
    "TIL that an index can answer a query without the table.",
    "Reading the manual again, this time from the beginning.",
    "My favourite feature of today is the code that I deleted.",
    "Two hard things in computer science: naming, invalidation, and off-by-one errors.",
    "Coffee first, then the merge conflict.",
    "Somebody asked for a button. They got a button.",
    "The train is late, but the view over the river is worth it.",
    "We talked for an hour and found that the question was wrong.",
    "Does this look like a bug to you, or is it a feature that nobody had asked for yet?",
    "Saturday: bread, soup, and a very slow build.",
    "If it hurts, do it more often, and bring the pain forward.",
    "Hoje aprendi mais sobre transações do que em um ano inteiro.",
    "The best part of a small team is that everybody knows why.",
    "Please, one more time, with the timezone.",
    "I have read the post-mortem twice, and the second time I laughed.",
    "A constraint in the database is worth a hundred checks in the code.",
    "Rain all day; the cat approves.",
    "There is nothing as permanent as a temporary table.",
    "What a concert! I can't hear anything, and I am happy.",
    "Looking for people who would like to read a paper together, one a month, no homework.",
    "Écrire moins de code, c'est aussi écrire.",
    "He said 'just one small change', and it was Friday.",
    "The documentation was right, I was wrong, and now I am the one who knows.",
    "Three years ago today we wrote the first line; not one of them is left, and it still does the same thing.",
    "Remember to drink some water.",
    "Slides and a recording will follow, as soon as I have found out how to cut out the part with the fire alarm.",
)
